//! The launcher's own namespaces.

use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::thread::UnshareFlags;

use super::process::Context;
use super::{host_view, ids};
use crate::copies;
use crate::error::{SetupError, Stage, at};
use crate::limits::Places;
use crate::overlay;
use crate::protocol::{Channel, StartPlan};
use crate::seccomp::Filter;
use crate::sys::{self, SingleThread};

/// The first line of an id map that maps nothing away (`user_namespaces(7)`).
const WHOLE_ID_MAP: [&str; 3] = ["0", "0", "4294967295"];

/// Enters the namespaces that all steps come from, and makes the host view.
pub(super) fn start(body: &[u8], channel: &Channel) -> Result<Context, SetupError> {
    let plan = StartPlan::decode(body).map_err(|_| SetupError::new(Stage::Request, Errno::INVAL, ""))?;
    let failed = || at(Stage::Namespaces, "");
    let single_thread = SingleThread::verify().map_err(failed())?;
    let rootless = !rustix::process::geteuid().is_root();
    if rootless {
        ids::enter(&single_thread, plan.ids, channel)?;
    } else {
        sys::unshare(&single_thread, UnshareFlags::NEWNS).map_err(failed())?;
    }
    // While their mounts are there.
    let places = Places::find();
    places.sweep();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(at(Stage::Namespaces, "/"))?;
    if !rootless {
        drop_needless_mounts()?;
    }
    // Steps share nothing of the caller's keys. They can't change keyrings, so one is enough for all of them.
    let own_keyring = sys::join_new_session_keyring();
    let classic_mount = plan.classic_mount || !overlay::takes_layers_one_by_one();
    let roots = copies::choose(&plan.overlays, rootless, classic_mount)?;
    let mut context = Context {
        single_thread,
        launcher: pidfd_open(getpid(), PidfdFlags::empty()).map_err(failed())?,
        rootless,
        ids: plan.ids,
        own_keyring,
        filter: Filter::compile().map_err(at(Stage::Confine, "seccomp"))?,
        scopes_sockets: sys::can_scope_abstract_sockets(),
        device_nodes: !rootless && in_first_user_namespace(),
        classic_mount,
        roots,
        host_view: None,
        places,
        slirp4netns: plan.slirp4netns.clone(),
        open_files: plan.open_files,
    };
    if let Some(view) = &plan.host_view {
        context.host_view = Some(host_view::mount(view, &context)?);
    }
    Ok(context)
}

pub(super) fn io_error(stage: Stage, path: impl AsRef<Path>, error: &std::io::Error) -> SetupError {
    SetupError::new(stage, Errno::from_io_error(error).unwrap_or(Errno::IO), path.as_ref())
}

/// Every step begins with a copy of the launcher's mounts, and ends with taking them apart. A good half of them on most
/// hosts lies below `/sys`, where no step looks at them.
fn drop_needless_mounts() -> Result<(), SetupError> {
    let table = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(table).map_err(|error| io_error(Stage::Namespaces, table, &error))?;
    let places = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|place| place.starts_with("/sys/"));
    for place in places {
        // One that does not go, or went with another one, is only a little slower.
        let _stays = unmount(place, UnmountFlags::DETACH);
    }
    Ok(())
}

/// Nodes on a tmpfs that is mounted in another user namespace can't be opened.
fn in_first_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(WHOLE_ID_MAP)
}
