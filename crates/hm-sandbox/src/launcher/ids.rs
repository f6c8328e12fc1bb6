//! The user namespace of an ordinary user's launcher, in which that user is 0.

use std::fs;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::start::io_error;
use crate::error::{SetupError, Stage, at};
use crate::protocol::{Channel, Outcome, Request, encode_outcome, encode_reply};
use crate::request::IdMap;
use crate::sys::{self, SingleThread};

/// Enters the namespace. Subordinate ids are mapped by the owner of the launcher, who has the right to.
pub(super) fn enter(single_thread: &SingleThread, ids: IdMap, channel: &Channel) -> Result<(), SetupError> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    sys::unshare(single_thread, UnshareFlags::NEWUSER | UnshareFlags::NEWNS)
        .map_err(at(Stage::Namespaces, "user namespace"))?;
    match ids {
        IdMap::Subordinate { .. } => ask_for_maps(channel).map_err(at(Stage::Namespaces, "id map")),
        IdMap::Host | IdMap::Single(_) => {
            write("/proc/self/setgroups", "deny")?;
            write("/proc/self/gid_map", &format!("0 {} 1", gid.as_raw()))?;
            write("/proc/self/uid_map", &format!("0 {} 1", uid.as_raw()))
        }
    }
}

fn ask_for_maps(channel: &Channel) -> Result<(), Errno> {
    channel.send(&encode_reply(None, &encode_outcome(&Outcome::Unmapped)), &[], true)?;
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(channel, PollFlags::IN)], None))?;
    let received = channel.receive()?.ok_or(Errno::CONNRESET)?;
    match Request::decode(&received.message) {
        Ok(Request::Mapped) => Ok(()),
        Ok(_) | Err(_) => Err(Errno::PROTO),
    }
}

fn write(path: &str, text: &str) -> Result<(), SetupError> {
    fs::write(path, text).map_err(|error| io_error(Stage::Namespaces, path, &error))
}
