//! What several commands open first.

use std::path::Path;
use std::sync::Arc;

use hm_store::{Store, StoreSettings, SystemClock};
use tokio::runtime::{Builder, Runtime};

use crate::error::CliError;
use crate::exit::Exit;

/// Threads for everything that waits.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CliError::from_error("runtime", Exit::Unavailable, &error)
            .fix("raise the limit of processes: ulimit -u unlimited")
    })
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
