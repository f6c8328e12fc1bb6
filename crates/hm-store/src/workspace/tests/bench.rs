//! A store, and a folder to be captured.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use tempfile::TempDir;

use super::super::{CaptureRequest, WORKSPACE_FOLDER, Workspace};
use crate::{Clock, Store, StoreSettings};

/// Every look at it is a second later.
#[derive(Debug, Default)]
pub(super) struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }
}

pub(super) struct Bench {
    pub(super) base: TempDir,
    pub(super) clock: Arc<Ticks>,
    pub(super) store: Store,
}

impl Bench {
    pub(super) fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("tree")).unwrap();
        let clock = Arc::new(Ticks::default());
        let store = open(base.path(), &clock);
        Self { base, clock, store }
    }

    pub(super) fn another_store(&self) -> Store {
        open(self.base.path(), &self.clock)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.base.path().join("tree")
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn request(&self) -> CaptureRequest {
        CaptureRequest::new(self.root())
    }

    pub(super) fn capture(&self) -> Workspace {
        self.store.capture(&self.request()).unwrap()
    }

    pub(super) fn names(&self, request: &CaptureRequest) -> Vec<String> {
        names(&self.store.capture(request).unwrap())
    }
}

fn open(base: &Path, clock: &Arc<Ticks>) -> Store {
    let clock: Arc<dyn Clock> = Arc::<Ticks>::clone(clock);
    Store::open(StoreSettings {
        root: base.join("store"),
        clock,
    })
    .unwrap()
}

pub(super) fn names(workspace: &Workspace) -> Vec<String> {
    workspace
        .manifest
        .entries()
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
        .collect()
}

pub(super) fn files(workspace: &Workspace) -> PathBuf {
    workspace.layer.join(WORKSPACE_FOLDER)
}

/// One line an entry, of what is really there.
pub(super) fn listing(folder: &Path) -> Vec<String> {
    fn add(folder: &Path, prefix: &str, lines: &mut Vec<String>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{prefix}{}", entry.file_name().as_bytes().escape_ascii());
            let data = entry.path().symlink_metadata().unwrap();
            let what = if data.is_symlink() {
                format!("-> {}", fs::read_link(entry.path()).unwrap().display())
            } else if data.is_dir() {
                "dir".to_owned()
            } else {
                format!("{:?}", fs::read_to_string(entry.path()).unwrap())
            };
            lines.push(format!(
                "{name} {:o} {}.{} {what}",
                data.mode() & 0o7777,
                data.mtime(),
                data.mtime_nsec()
            ));
            if data.is_dir() {
                add(&entry.path(), &format!("{name}/"), lines);
            }
        }
    }
    let mut lines = Vec::new();
    add(folder, "", &mut lines);
    lines
}

pub(super) fn set_mtime(path: &Path, seconds: u64, nanos: u32) {
    let time = UNIX_EPOCH + Duration::new(seconds, nanos);
    fs::File::open(path)
        .unwrap()
        .set_times(fs::FileTimes::new().set_modified(time))
        .unwrap();
}
