//! Getting rights over the caller's subordinate ids for this process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, move_into_link_name_space, set_capabilities};

use super::ranges::{Range, largest_range, name_of};
use crate::request::{IdMap, SingleId};
use crate::sys::{self, CloneFlags, Cloned, SingleThread};

/// Where newuidmap(1) and newgidmap(1) may be, whatever `PATH` says.
const TOOL_FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"];

/// What the process keeps of the rights in its new namespace: enough to see to files of its subordinate ids, and to map
/// them for launchers.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// What this process has taken, for launchers that it starts.
static TAKEN: OnceLock<Result<SubordinateIds, SingleId>> = OnceLock::new();

/// Ids that the administrator gave to the caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubordinateIds {
    users: Range,
    groups: Range,
}

/// Gives this process rights over the files of the caller's subordinate ids (`subuid(5)`), and lets the users 1 and up
/// of machines be those ids. Root has all rights, and nothing is done.
///
/// The process enters a user namespace in which the caller and the subordinate ids exist under the numbers that they
/// have outside, and no other ids: it stays the same user, and programs that it starts are ordinary programs of that
/// user. What it loses is set-user-id programs, also for all that it starts: files of other users belong to `nobody`
/// there.
///
/// It must be called in `main` before any thread is made, and does its work once; later calls give the same answer. With
/// [`IdMap::Single`] nothing has changed.
pub fn take_subordinate_ids() -> IdMap {
    if !rustix::process::geteuid().is_root() {
        TAKEN.get_or_init(take);
    }
    subordinate_ids()
}

/// Which users machines of this process have.
pub fn subordinate_ids() -> IdMap {
    if rustix::process::geteuid().is_root() {
        return IdMap::Host;
    }
    match of_process() {
        Ok(ids) => IdMap::Subordinate {
            count: ids.users.count.min(ids.groups.count),
        },
        Err(reason) => IdMap::Single(reason),
    }
}

/// The ids that this process has taken.
pub(crate) fn of_process() -> Result<SubordinateIds, SingleId> {
    *TAKEN.get().unwrap_or(&Err(SingleId::Chosen))
}

fn take() -> Result<SubordinateIds, SingleId> {
    let ids = SubordinateIds::of_caller()?;
    let (map_users, map_groups) = (tool("newuidmap")?, tool("newgidmap")?);
    enter(|process| {
        let (uid, gid) = caller();
        run(&map_groups, process, gid, ids.groups) && run(&map_users, process, uid, ids.users)
    })
    .map_err(|_errno| SingleId::Refused)?;
    Ok(ids)
}

fn caller() -> (u32, u32) {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    (uid.as_raw(), gid.as_raw())
}

fn tool(name: &str) -> Result<PathBuf, SingleId> {
    let mut places = TOOL_FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    places.find(|place| place.is_file()).ok_or(SingleId::NoTool)
}

/// Enters a new user namespace once it is mapped. The namespace is made by a helper, so that nothing has changed for
/// this process where the mapping is refused.
fn enter(map: impl FnOnce(Pid) -> bool) -> Result<(), Errno> {
    let single_thread = SingleThread::verify()?;
    let (wait, hold) = pipe_with(PipeFlags::CLOEXEC)?;
    let helper = match sys::clone_process(&single_thread, CloneFlags::USER)? {
        Cloned::Child => {
            drop(hold);
            // Ends when the other side has what it needs, or is gone.
            let _ended = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0; 1]));
            sys::exit_now(0)
        }
        Cloned::Parent { pid, pidfd: _ } => pid,
    };
    let entered = if map(helper) { join(helper) } else { Err(Errno::PERM) };
    drop(hold);
    // The status of a helper that does nothing tells nothing.
    let _gone = waitpid(Some(helper), WaitOptions::empty());
    entered
}

fn join(helper: Pid) -> Result<(), Errno> {
    let path = format!("/proc/{}/ns/user", helper.as_raw_nonzero());
    let namespace = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::User))?;
    let sets = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}

/// Maps the caller and the range to themselves.
fn run(tool: &Path, process: Pid, own: u32, range: Range) -> bool {
    let numbers = [own, own, 1, range.first, range.first, range.count].map(|number| number.to_string());
    Command::new(tool)
        .arg(process.as_raw_nonzero().to_string())
        .args(numbers)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl SubordinateIds {
    fn of_caller() -> Result<Self, SingleId> {
        let (uid, _) = caller();
        let name = name_of(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
        let range = |file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            largest_range(&text, uid, name.as_deref()).ok_or(SingleId::NoRange)
        };
        Ok(Self {
            users: range("/etc/subuid")?,
            groups: range("/etc/subgid")?,
        })
    }

    /// Maps a launcher, which has entered a user namespace of its own: the caller becomes 0, the range 1 and up.
    pub(crate) fn map(&self, launcher: u32) -> io::Result<()> {
        let (uid, gid) = caller();
        let text = |own: u32, range: Range| format!("0 {own} 1\n1 {} {}\n", range.first, range.count);
        fs::write(format!("/proc/{launcher}/gid_map"), text(gid, self.groups))?;
        fs::write(format!("/proc/{launcher}/uid_map"), text(uid, self.users))
    }
}
