//! The handle of an open store.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::cache::{KeyTurns, LastUsed};
use crate::clock::Clock;
use crate::error::{FileError, IndexError, StoreError};
use crate::files::{Owners, Reaper, XattrNamespace};
use crate::ids::{LayerId, LeaseId};
use crate::index::Index;
use crate::layout::{FORMAT, Layout};
use crate::lease::{Lease, is_dead};
use crate::snapshot::Nodes;
use crate::sweep::{Sweep, SweepReport};
use crate::workspace::release_workspaces;

/// What a store needs to be opened.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Its folder; made where it isn't there, for this user alone.
    pub root: PathBuf,
    /// The time of entries.
    pub clock: Arc<dyn Clock>,
}

/// An open store; clones are the same one.
///
/// It is one lease: what it makes and doesn't enter in the index goes with [`Store::close`], or with the sweep of the
/// next process that opens the store.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    clock: Arc<dyn Clock>,
    boot: String,
    lease: Lease,
    index: Index,
    xattrs: XattrNamespace,
    owners: Owners,
    swept: SweepReport,
    reaper: Reaper,
    counter: AtomicU64,
    nodes: Mutex<Nodes>,
    last_used: Mutex<LastUsed>,
    key_turns: KeyTurns,
}

impl Store {
    /// Opens the store, begins a lease and clears away what dead leases left.
    ///
    /// # Errors
    /// A root that can't be made or written, a layout of another version, an index that can't be opened. What the sweep
    /// could not remove is no error: see [`Store::swept`].
    pub fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = fs::read_to_string(path).map_err(FileError::at("read", path))?;
        Self::open_in_boot(settings, boot.trim())
    }

    /// As [`Store::open`], in the boot with this id.
    pub(crate) fn open_in_boot(settings: StoreSettings, boot: &str) -> Result<Self, StoreError> {
        let StoreSettings { root, clock } = settings;
        let layout = Layout::new(root);
        make_folder(layout.root())?;
        let beginning = lock(&layout)?;
        check_format(&layout)?;
        for folder in layout.folders() {
            make_folder(&folder)?;
        }
        let index = Index::open(&layout.index())?;
        let lease = Lease::begin(&layout, |id| has_rows(&index, id))?;
        let mut sweep = Sweep::survey(&layout, &index, &lease.id)?;
        sweep.dead_leases()?;
        sweep.other_boots(boot)?;
        sweep.orphans()?;
        drop(beginning);
        let reaper = Reaper::default();
        let swept = sweep.finish(&reaper);
        let inner = Inner {
            layout,
            clock,
            boot: boot.to_owned(),
            lease,
            index,
            xattrs: XattrNamespace::of_process(),
            owners: Owners::of_process(),
            swept,
            reaper,
            counter: AtomicU64::new(0),
            nodes: Mutex::default(),
            last_used: Mutex::default(),
            key_turns: KeyTurns::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ends the lease: removes what it made and what nothing refers to.
    ///
    /// # Errors
    /// What could not be removed is left to the sweep.
    pub fn close(self) -> Result<(), StoreError> {
        self.cache().close()?;
        self.snapshots().close();
        release_workspaces(&self)?;
        self.inner.index.trim()?;
        // What lies in the lease's folder goes first, so that nothing is removed from two sides.
        let settled = self.settle();
        self.discard(self.inner.layout.lease(&self.inner.lease.id));
        self.settle().and(settled)
    }

    /// Removes `path`, of which nothing may be in use, in the background. It is gone when [`Store::settle`] or
    /// [`Store::close`] returns.
    pub fn discard(&self, path: PathBuf) {
        self.inner.reaper.remove(path);
    }

    /// Waits until all is gone that was discarded.
    ///
    /// # Errors
    /// The first of what could not be removed. What lies in the lease's folder or is a layer of it is left to a sweep.
    pub fn settle(&self) -> Result<(), StoreError> {
        match self.inner.reaper.wait().into_iter().next() {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }

    /// Where things lie.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// The lease that this handle is.
    pub fn lease(&self) -> &LeaseId {
        &self.inner.lease.id
    }

    /// Whether the lease with this name is held by a living process. For what backends keep outside of the store under
    /// the name of a lease. A name that is none is not alive.
    ///
    /// # Errors
    /// The lock of the lease can't be looked at.
    pub fn is_alive(&self, lease: &str) -> Result<bool, StoreError> {
        let Ok(id) = lease.parse::<LeaseId>() else {
            return Ok(false);
        };
        Ok(id == *self.lease() || !is_dead(&self.inner.layout.lease(&id))?)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The id of this boot of the machine: rows of the index that carry it are trusted although they may not have
    /// reached the disk.
    pub fn boot_id(&self) -> &str {
        &self.inner.boot
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.inner.index
    }

    /// How overlay marks are named in layers that this process makes.
    pub fn xattrs(&self) -> XattrNamespace {
        self.inner.xattrs
    }

    /// Whom files of machines belong to on disk.
    pub fn owners(&self) -> Owners {
        self.inner.owners
    }

    /// What was cleared away when the store was opened.
    pub fn swept(&self) -> &SweepReport {
        &self.inner.swept
    }

    /// A path in the lease's own temporary folder that nothing else uses; nothing is there yet. What lies there can
    /// become a layer or a workspace by a rename, and is removed at the end of the lease.
    pub fn temporary(&self) -> PathBuf {
        let name = self.count().to_string();
        self.inner.layout.lease(&self.inner.lease.id).join("tmp").join(name)
    }

    /// A name for a new layer of this lease.
    pub fn new_layer(&self) -> LayerId {
        LayerId::of_step(&self.inner.lease.id, self.count())
    }

    /// A name for a new flattened layer of this lease.
    pub fn new_flattened(&self) -> LayerId {
        LayerId::flattened(&self.inner.lease.id, self.count())
    }

    pub(crate) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.inner.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last_used(&self) -> MutexGuard<'_, LastUsed> {
        self.inner.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn key_turns(&self) -> &KeyTurns {
        &self.inner.key_turns
    }

    /// A number that this lease never gave before.
    pub(crate) fn count(&self) -> u64 {
        self.inner.counter.fetch_add(1, Ordering::Relaxed)
    }
}

fn make_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::at("make", path))
}

fn lock(layout: &Layout) -> Result<File, FileError> {
    let path = layout.lock();
    let file = File::create(&path).map_err(FileError::at("make", &path))?;
    file.lock().map_err(FileError::at("lock", &path))?;
    Ok(file)
}

fn check_format(layout: &Layout) -> Result<(), StoreError> {
    let path = layout.format();
    match fs::read_to_string(&path) {
        Ok(text) if text.trim_end() == FORMAT => Ok(()),
        Ok(text) => Err(StoreError::Format {
            root: layout.root().to_path_buf(),
            found: text.trim_end().to_owned(),
            known: FORMAT,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let new = path.with_extension("new");
            let mut file = File::create(&new).map_err(FileError::at("make", &new))?;
            file.write_all(format!("{FORMAT}\n").as_bytes())
                .map_err(FileError::at("write", &new))?;
            fs::rename(&new, &path).map_err(FileError::at("name", &path))?;
            Ok(())
        }
        Err(error) => Err(FileError::at("read", &path)(error).into()),
    }
}

/// Whether layers of an ended lease with this id are in the index.
fn has_rows(index: &Index, id: &LeaseId) -> Result<bool, IndexError> {
    let ask = "SELECT EXISTS (SELECT 1 FROM snapshots WHERE id BETWEEN ?1 || '-' AND ?1 || '-~')";
    index.read(|index| Ok(index.query_row(ask, [id.as_str()], |row| row.get(0))?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::SystemClock;

    fn settings(root: &Path) -> StoreSettings {
        StoreSettings {
            root: root.to_path_buf(),
            clock: Arc::new(SystemClock),
        }
    }

    fn names(folder: PathBuf) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn makes_its_layout_for_this_user_alone() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("deep/store");
        let store = Store::open(settings(&root)).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(root.join("FORMAT")).unwrap(), "1\n");
        assert!(store.layout().lease(store.lease()).join("lock").exists());
        let lease = store.layout().lease(store.lease());
        store.close().unwrap();
        assert!(!lease.exists());
    }

    #[test]
    fn refuses_another_format_and_names_both() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("FORMAT"), "2\n").unwrap();
        let error = Store::open(settings(base.path())).unwrap_err().to_string();
        assert!(error.contains("\"2\"") && error.contains("\"1\""), "{error}");
    }

    #[test]
    fn leaves_the_living_alone_and_sweeps_the_dead() {
        let base = tempfile::tempdir().unwrap();
        let living = Store::open(settings(base.path())).unwrap();
        let dead = Store::open(settings(base.path())).unwrap();
        let dead_id = dead.lease().clone();
        assert_eq!(living.swept().dead_leases, []);
        fs::create_dir(living.layout().layer(&living.new_layer())).unwrap();
        for left in [dead.new_layer(), dead.new_flattened()] {
            fs::create_dir(dead.layout().layer(&left)).unwrap();
        }
        fs::write(dead.layout().logs().join(format!("{dead_id}-7.log")), "x").unwrap();
        fs::write(dead.layout().key_locks().join("ab"), "").unwrap();
        fs::create_dir_all(dead.temporary().join("a")).unwrap();
        // Without `close`: as if the process had ended.
        drop(dead);
        let next = Store::open(settings(base.path())).unwrap();
        assert_eq!(next.swept().dead_leases, [dead_id]);
        assert_eq!(next.swept().removed, 3);
        assert!(next.swept().problems.is_empty());
        assert_eq!(names(next.layout().layers()), [format!("{}-0", living.lease())]);
        assert_eq!(names(next.layout().logs()), [""; 0]);
        assert_eq!(names(next.layout().key_locks()), [""; 0]);
        let mut leases = [living.lease().to_string(), next.lease().to_string()];
        leases.sort();
        assert_eq!(names(next.layout().leases()), leases);
    }
}
