//! What several commands open first.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use hm_store::{Store, StoreSettings, SystemClock};
use rustix::process::{Resource, getrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::error::CliError;
use crate::exit::Exit;

/// A limit of processes from which on nothing is tried: no build comes near it.
const MANY: u64 = 1024;
/// Threads and processes that a build of one step has at once beside two for each processor.
const FEW: usize = 16;

/// Threads for everything that waits.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    check_room_for_threads()?;
    Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CliError::from_error("runtime", Exit::Unavailable, &error)
            .fix("raise the limit of processes: ulimit -u unlimited")
    })
}

/// Tries a few threads where the limit of processes is low: the runtime can't go on when it is given none.
fn check_room_for_threads() -> Result<(), CliError> {
    let Some(limit) = getrlimit(Resource::Nproc).current.filter(|limit| *limit < MANY) else {
        return Ok(());
    };
    let wanted = FEW + 2 * thread::available_parallelism().map_or(1, usize::from);
    let door = Mutex::new(());
    let refused = thread::scope(|scope| {
        // Held until all of them are there.
        let _closed = door.lock();
        let wait = || drop(door.lock());
        (0..wanted).find_map(|_| thread::Builder::new().spawn_scoped(scope, wait).err())
    });
    match refused {
        None => Ok(()),
        Some(error) => Err(CliError::new(
            "process_limit",
            Exit::Unavailable,
            format!("this user may have no more threads and processes: the limit is {limit}, and a build needs about {wanted}"),
        )
        .cause(error.to_string())
        .fix("raise the limit: ulimit -u unlimited; where that is refused, `nproc` in /etc/security/limits.conf")),
    }
}

/// The store in this folder.
pub(crate) fn open_store(root: &Path) -> Result<Store, CliError> {
    let request = StoreSettings {
        root: root.to_owned(),
        clock: Arc::new(SystemClock),
    };
    Store::open(request).map_err(|error| store_error(&error, root))
}

/// The store failed.
pub(crate) fn store_error(error: &(dyn std::error::Error + 'static), root: &Path) -> CliError {
    CliError::from_error("store_unavailable", Exit::Unavailable, error)
        .cause(format!("the store is {}", root.display()))
        .again("HM_STORE__DIR=/some/other/folder", "")
}
