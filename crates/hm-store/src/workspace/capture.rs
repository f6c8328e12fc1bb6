//! Takes a copy of the working tree as it stands.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hm_plugin_protocol::ArchiveId;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use uuid::Uuid;

use super::CaptureError;
use super::earlier::{EarlierTree, make_folder};
use super::manifest::{Entry, EntryKind, Manifest};
use super::manifest_file;
use super::read::Reader;
use super::shelf::{Held, Shelf};
use super::walk::{self, Found, WalkRequest};
use crate::error::FileError;
use crate::files::remove_tree;
use crate::ids::TreeId;
use crate::layout::WORKSPACE_LAYER;
use crate::nanoseconds::{times, timespec};
use crate::store::Store;
use crate::work_queue::file_threads;

/// Where the files of a workspace are below its layer, and in the machine.
pub const WORKSPACE_FOLDER: &str = "workspace";
const MANIFEST: &str = "manifest";
/// Name space of [`ArchiveId`]s that stand for a tree (RFC 9562 §5.5).
const ARCHIVE_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_6f4c_5c0e_4d3a_9d0b_6b1f_8a52_7c11);

/// What to capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaptureRequest {
    /// The folder.
    pub root: PathBuf,
    /// Take `.git` folders along.
    pub include_git: bool,
    /// Take the root's `.hm` along.
    pub include_hm: bool,
    /// A file of ignore patterns that hold below `root` (git's `core.excludesFile`).
    pub global_excludes: Option<PathBuf>,
}

impl CaptureRequest {
    /// A request for `root` without `.git`, `.hm` and global excludes.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            include_git: false,
            include_hm: false,
            global_excludes: None,
        }
    }
}

/// A captured workspace. It stays as it is at least until the store is closed.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Hash over names, types, modes, link targets and contents.
    pub tree: TreeId,
    /// The tree's id on the wire.
    pub archive: ArchiveId,
    /// What it holds.
    pub manifest: Arc<Manifest>,
    /// A folder to be used as an overlay's lower layer: it holds `workspace/`, which holds the files.
    pub layer: PathBuf,
    /// What was left out and isn't a matter of ignore rules: sockets, named pipes, devices; bad ignore patterns.
    pub notes: Vec<String>,
    /// Nothing was copied: the same tree was captured before.
    pub reused: bool,
}

impl Store {
    /// Captures a folder: walks it with all cores, hashes and copies what is new.
    ///
    /// The copy is exact (types, modes without set-uid and set-gid, times, link targets, empty folders) and shares
    /// nothing that a later edit could change. It becomes visible when it is whole; several processes may capture at
    /// once.
    ///
    /// # Errors
    /// A file that can't be read, one that changes each time it is read, or a store that can't be written.
    pub fn capture(&self, request: &CaptureRequest) -> Result<Workspace, CaptureError> {
        self.capture_until(request, &|| false)
    }

    /// Captures a folder as [`Store::capture`] does, and gives up soon after `stop` says so. Several threads ask it, often.
    ///
    /// # Errors
    /// [`CaptureError::Stopped`], and those of [`Store::capture`].
    pub fn capture_until(
        &self,
        request: &CaptureRequest,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Workspace, CaptureError> {
        Capture::begin(self, request, &|_| {}, stop)?.run()
    }

    /// The manifest of a captured workspace.
    pub fn manifest(&self, tree: &TreeId) -> Result<Arc<Manifest>, CaptureError> {
        read_manifest(&self.layout().workspace(tree)).map(Arc::new)
    }
}

/// One capture in progress.
pub(super) struct Capture<'a> {
    store: &'a Store,
    root: PathBuf,
    root_fd: OwnedFd,
    threads: usize,
    can_clone: AtomicBool,
    after_read: &'a (dyn Fn(&[u8]) + Sync),
    stop: &'a (dyn Fn() -> bool + Sync),
    found: Found,
}

impl<'a> Capture<'a> {
    /// Finds out what is there. `after_read` is called with each file's path when it has been read, `stop` is asked before.
    pub(super) fn begin(
        store: &'a Store,
        request: &CaptureRequest,
        after_read: &'a (dyn Fn(&[u8]) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, CaptureError> {
        let CaptureRequest {
            root,
            include_git,
            include_hm,
            global_excludes,
        } = request;
        let open = |path: &Path| -> Result<_, FileError> {
            let root = fs::canonicalize(path).map_err(FileError::at("find", path))?;
            let root_fd = open_folder(&root).map_err(FileError::at("open the folder", &root))?;
            Ok((root, root_fd))
        };
        let (root, root_fd) = open(root)?;
        let store_root = store.layout().root();
        let store_root = fs::canonicalize(store_root).map_err(FileError::at("find", store_root))?;
        let threads = file_threads();
        let found = walk::walk(&WalkRequest {
            root: &root,
            root_fd: root_fd.as_fd(),
            include_git: *include_git,
            include_hm: *include_hm,
            left_out: &store_root,
            global_excludes: global_excludes.as_deref(),
            threads,
            stop,
        })?;
        Ok(Self {
            store,
            root,
            root_fd,
            threads,
            can_clone: AtomicBool::new(true),
            after_read,
            stop,
            found,
        })
    }

    pub(super) fn run(mut self) -> Result<Workspace, CaptureError> {
        self.found
            .dirs
            .sort_unstable_by(|a, b| super::path_order(&a.path, &b.path));
        self.found
            .others
            .sort_unstable_by(|a, b| super::path_order(&a.path, &b.path));
        let shelf = Shelf::of(self.store)?;
        let Some(earlier) = shelf.newest_of(&self.root)? else {
            // Most likely nothing of it is known yet: one pass that copies.
            return self.copy(&shelf, None);
        };
        let manifest = self.manifest_of(self.reader(None, None).read_all(&self.found.others, self.threads)?);
        let tree = TreeId::from(manifest.tree_hash());
        if let Some(held) = shelf.hold(&tree, &self.root)? {
            return self.workspace(&held, tree, Arc::new(manifest), true);
        }
        self.copy(&shelf, Some((&earlier, &manifest)))
    }

    /// Makes the tree in a temporary folder and puts it on the shelf. Where nothing needs the `earlier` tree, of which
    /// the present one (`known`) may share much, it is made of its files.
    fn copy(&self, shelf: &Shelf<'_>, known: Option<(&TreeId, &Manifest)>) -> Result<Workspace, CaptureError> {
        let temporary = self.store.temporary();
        let made = self.copy_into(&temporary, shelf, known);
        let (tree, manifest) = match made {
            Ok(made) => made,
            Err(error) => {
                // The first error counts; what is left goes with the lease.
                remove_tree(&temporary).ok();
                return Err(error);
            }
        };
        let held = shelf.put(&tree, &self.root, &temporary)?;
        self.workspace(&held, tree, Arc::new(manifest), false)
    }

    fn copy_into(
        &self,
        temporary: &Path,
        shelf: &Shelf<'_>,
        known: Option<(&TreeId, &Manifest)>,
    ) -> Result<(TreeId, Manifest), CaptureError> {
        let layer = temporary.join(WORKSPACE_LAYER);
        let files = layer.join(WORKSPACE_FOLDER);
        make_open_folder(temporary)?;
        let earlier = match known {
            Some((tree, now)) => self.take_earlier(shelf, tree, now, &layer)?,
            None => None,
        };
        if earlier.is_none() {
            make_open_folder(&layer)?;
            make_open_folder(&files)?;
        }
        let destination = open_folder(&files).map_err(FileError::at("open the folder", &files))?;
        if let Some(earlier) = &earlier {
            earlier.clear(destination.as_fd())?;
        }
        for dir in self.found.dirs.iter().filter(|dir| !dir.path.is_empty()) {
            make_folder(destination.as_fd(), &dir.path)?;
        }

        let reader = self.reader(Some(destination.as_fd()), earlier.as_ref());
        let made = self.manifest_of(reader.read_all(&self.found.others, self.threads)?);
        let tree = TreeId::from(made.tree_hash());
        let manifest = self.with_kept_times(destination.as_fd(), &tree, made)?;
        self.finish_folders(destination.as_fd(), &manifest)?;

        let path = temporary.join(MANIFEST);
        fs::write(&path, manifest_file::encode(&manifest)).map_err(FileError::at("write", &path))?;
        Ok((tree, manifest))
    }

    fn take_earlier<'m>(
        &self,
        shelf: &Shelf<'_>,
        tree: &TreeId,
        now: &'m Manifest,
        to: &Path,
    ) -> Result<Option<EarlierTree<'m>>, CaptureError> {
        // An earlier tree only saves work: one that can't be read, or goes away meanwhile, doesn't matter.
        let Ok(then) = read_manifest(&self.store.layout().workspace(tree)) else {
            return Ok(None);
        };
        let taken = shelf.take(tree, to)?;
        Ok(taken.then_some(EarlierTree { then, now }))
    }

    /// Where the tree's manifest was left on the shelf by one that took its files, its times count: snapshots have them.
    fn with_kept_times(
        &self,
        destination: BorrowedFd<'_>,
        tree: &TreeId,
        made: Manifest,
    ) -> Result<Manifest, CaptureError> {
        let kept = read_manifest(&self.store.layout().workspace(tree)).ok();
        let Some(kept) = kept.filter(|kept| kept.tree_hash() == made.tree_hash()) else {
            return Ok(made);
        };
        for (made, kept) in made.entries().iter().zip(kept.entries()) {
            if made.mtime_ns == kept.mtime_ns {
                continue;
            }
            let times = times(timespec(kept.mtime_ns));
            rustix::fs::utimensat(destination, &*kept.path, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|source| CaptureError::copy("set the time of", &kept.path, source))?;
        }
        Ok(kept)
    }

    /// Modes and times of folders come last: a folder may be closed to writing, and each file made in it changes its
    /// time.
    fn finish_folders(&self, destination: BorrowedFd<'_>, manifest: &Manifest) -> Result<(), CaptureError> {
        let folders = manifest.entries().iter().rev();
        for dir in folders.filter(|entry| matches!(entry.kind, EntryKind::Dir)) {
            let times = times(timespec(dir.mtime_ns));
            rustix::fs::chmodat(destination, &*dir.path, Mode::from_raw_mode(dir.mode), AtFlags::empty())
                .and_then(|()| rustix::fs::utimensat(destination, &*dir.path, &times, AtFlags::SYMLINK_NOFOLLOW))
                .map_err(|source| CaptureError::copy("finish", &dir.path, source))?;
        }
        let root = self.found.dirs.iter().find(|dir| dir.path.is_empty());
        root.map_or(Ok(()), |root| {
            rustix::fs::futimens(destination, &times(timespec(root.mtime_ns)))
                .map_err(|source| CaptureError::copy("finish", &root.path, source))
        })
    }

    fn reader<'r>(&'r self, destination: Option<BorrowedFd<'r>>, earlier: Option<&'r EarlierTree<'r>>) -> Reader<'r> {
        Reader {
            root_path: &self.root,
            root: self.root_fd.as_fd(),
            destination,
            earlier,
            can_clone: &self.can_clone,
            after_read: self.after_read,
            stop: self.stop,
        }
    }

    fn manifest_of(&self, others: Vec<Entry>) -> Manifest {
        let dirs = self
            .found
            .dirs
            .iter()
            .filter(|dir| !dir.path.is_empty())
            .map(|dir| Entry {
                path: dir.path.as_slice().into(),
                kind: EntryKind::Dir,
                mode: dir.mode,
                mtime_ns: dir.mtime_ns,
            });
        Manifest::new(dirs.chain(others).collect())
    }

    fn workspace(
        &self,
        held: &Held,
        tree: TreeId,
        manifest: Arc<Manifest>,
        reused: bool,
    ) -> Result<Workspace, CaptureError> {
        // What is on the shelf is the truth about times.
        let manifest = if reused { self.store.manifest(&tree)? } else { manifest };
        let Found {
            dirs: _,
            others: _,
            notes,
        } = &self.found;
        Ok(Workspace {
            tree,
            archive: ArchiveId(Uuid::new_v5(&ARCHIVE_NAMESPACE, tree.as_bytes())),
            manifest,
            layer: held.folder.join(WORKSPACE_LAYER),
            notes: BTreeSet::iter(notes).cloned().collect(),
            reused,
        })
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest, CaptureError> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path).map_err(FileError::at("read", &path))?;
    manifest_file::decode(&bytes).map_err(|source| CaptureError::Manifest { path, source })
}

/// The mode is set apart from the making, whatever the process's umask is: the layer's root becomes `/`.
fn make_open_folder(path: &Path) -> Result<(), FileError> {
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::mkdir(path, mode)
        .and_then(|()| rustix::fs::chmod(path, mode))
        .map_err(FileError::at("make", path))
}

fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}
