//! Which captured trees are there, who uses them, and when they go.
//!
//! A tree's row is written before the tree becomes visible, so a tree without a row is one whose row was lost with the
//! machine's power: it isn't trusted. A process that uses a tree holds it by a file in its lease. Both and the removal of
//! trees happen under one lock.
//!
//! A tree may be left with its manifest alone: its files became those of a later tree, and snapshots hold the difference
//! to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};

use super::CaptureError;
use crate::error::{FileError, IndexError, StoreError};
use crate::files::remove_tree;
use crate::ids::TreeId;
use crate::layout::WORKSPACE_LAYER;
use crate::lease;
use crate::store::Store;

const LOCK: &str = ".lock";
/// Folder of a lease that names the trees it uses.
const HELD: &str = "w";

/// The captured trees of a store.
pub(super) struct Shelf<'a> {
    store: &'a Store,
    held: PathBuf,
}

/// A tree that stays until the lease ends.
pub(super) struct Held {
    pub(super) folder: PathBuf,
}

impl<'a> Shelf<'a> {
    pub(super) fn of(store: &'a Store) -> Result<Self, CaptureError> {
        let held = store.layout().lease(store.lease()).join(HELD);
        match fs::create_dir(&held) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(FileError::at("make", &held)(error).into())
            }
            _ => Ok(Self { store, held }),
        }
    }

    /// The tree captured last from this folder.
    pub(super) fn newest_of(&self, root: &Path) -> Result<Option<TreeId>, CaptureError> {
        let ask = "SELECT tree FROM workspaces WHERE root = ?1 ORDER BY last_used DESC LIMIT 1";
        let tree: Option<String> = self.store.index().read(|index| {
            let mut ask = index.prepare_cached(ask)?;
            Ok::<_, IndexError>(ask.query_row([name_of(root)], |row| row.get(0)).optional()?)
        })?;
        Ok(tree.and_then(|tree| tree.parse().ok()))
    }

    /// Holds the tree if it is there, and notes that it is this folder's newest.
    pub(super) fn hold(&self, tree: &TreeId, root: &Path) -> Result<Option<Held>, CaptureError> {
        let folder = self.store.layout().workspace(tree);
        let _lock = lock(self.store, Lock::Shared)?;
        if !self.store.layout().workspace_layer(tree).exists() || !self.is_known(tree)? {
            return Ok(None);
        }
        self.mark(tree)?;
        self.note(tree, root, false)?;
        Ok(Some(Held { folder }))
    }

    /// Makes the tree in `temporary` visible, and holds it. Where another process was quicker its tree is taken. A
    /// manifest that was left stays.
    pub(super) fn put(&self, tree: &TreeId, root: &Path, temporary: &Path) -> Result<Held, CaptureError> {
        let layout = self.store.layout();
        let (folder, files) = (layout.workspace(tree), layout.workspace_layer(tree));
        self.drop_unknown(tree, &folder)?;
        let lock = lock(self.store, Lock::Shared)?;
        self.mark(tree)?;
        self.note(tree, root, !files.exists())?;
        let placed = if folder.exists() {
            fs::rename(temporary.join(WORKSPACE_LAYER), &files)
        } else {
            fs::rename(temporary, &folder)
        };
        drop(lock);
        match placed {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(FileError::at("name", &folder)(error).into())
            }
            _ => {
                remove_tree(temporary)?;
                Ok(Held { folder })
            }
        }
    }

    /// Moves the files of a tree to `to`, where nothing needs them: no living process uses the tree, and no snapshot in
    /// the index lies on it. Its manifest and its row stay, for snapshots that hold the difference to it.
    pub(super) fn take(&self, tree: &TreeId, to: &Path) -> Result<bool, CaptureError> {
        let _lock = lock(self.store, Lock::Alone)?;
        if self.lies_below_snapshots(tree)? || is_held(self.store, &tree.to_hex())? {
            return Ok(false);
        }
        let files = self.store.layout().workspace_layer(tree);
        match fs::rename(&files, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::at("take", &files)(error).into()),
        }
    }

    /// Takes away a tree that has no row.
    fn drop_unknown(&self, tree: &TreeId, folder: &Path) -> Result<(), CaptureError> {
        if !folder.exists() {
            return Ok(());
        }
        let lock = lock(self.store, Lock::Alone)?;
        let trash = self.store.temporary();
        if self.is_known(tree)? {
            return Ok(());
        }
        set_aside(folder, &trash)?;
        drop(lock);
        Ok(remove_tree(&trash)?)
    }

    fn is_known(&self, tree: &TreeId) -> Result<bool, IndexError> {
        self.ask("SELECT EXISTS (SELECT 1 FROM workspaces WHERE tree = ?1)", tree)
    }

    fn lies_below_snapshots(&self, tree: &TreeId) -> Result<bool, IndexError> {
        self.ask("SELECT EXISTS (SELECT 1 FROM snapshots WHERE base_tree = ?1)", tree)
    }

    fn ask(&self, query: &str, tree: &TreeId) -> Result<bool, IndexError> {
        self.store.index().read(|index| {
            let mut ask = index.prepare_cached(query)?;
            Ok(ask.query_row([tree.to_hex()], |row| row.get(0))?)
        })
    }

    fn mark(&self, tree: &TreeId) -> Result<(), FileError> {
        let path = self.held.join(tree.to_hex());
        File::create(&path).map(drop).map_err(FileError::at("make", &path))
    }

    /// Writes the tree's row. A tree that is made `anew` is as sure as this boot, whatever the row said before.
    fn note(&self, tree: &TreeId, root: &Path, anew: bool) -> Result<(), IndexError> {
        let (tree, root, now) = (tree.to_hex(), name_of(root), self.store.now().as_millisecond());
        self.store.index().write(|change| {
            change.execute(
                "INSERT INTO workspaces (tree, root, last_used, boot) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (tree) DO UPDATE SET root = excluded.root, last_used = excluded.last_used,
                    boot = iif(?5, excluded.boot, boot), durable = iif(?5, 0, durable)",
                params![tree, root, now, self.store.boot_id(), anew],
            )?;
            Ok(())
        })
    }
}

/// Lets go of this lease's trees and removes those that nothing needs: neither a living process nor a snapshot in the
/// index uses them, and they are not the newest of their folder.
pub(crate) fn release_workspaces(store: &Store) -> Result<(), StoreError> {
    let own = store.layout().lease(store.lease()).join(HELD);
    if !own.exists() {
        return Ok(());
    }
    remove_tree(&own)?;
    let ask = "SELECT tree FROM workspaces AS old
        WHERE NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshots.tree = old.tree)
        AND NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshots.base_tree = old.tree)
        AND EXISTS (SELECT 1 FROM workspaces AS new WHERE new.root = old.root AND new.last_used > old.last_used)";
    let unneeded = || {
        store.index().read(|index| {
            let mut ask = index.prepare_cached(ask)?;
            Ok::<_, IndexError>(
                ask.query_map([], |row| row.get(0))?
                    .collect::<Result<Vec<String>, _>>()?,
            )
        })
    };
    if unneeded()?.is_empty() {
        return Ok(());
    }
    let lock = lock(store, Lock::Alone)?;
    let mut trash = Vec::new();
    for tree in unneeded()? {
        if is_held(store, &tree)? {
            continue;
        }
        let to = store.temporary();
        set_aside(&store.layout().workspaces().join(&tree), &to)?;
        trash.push(to);
        store.index().write(|change| {
            change.execute("DELETE FROM workspaces WHERE tree = ?1", [&tree])?;
            Ok::<_, IndexError>(())
        })?;
    }
    drop(lock);
    for folder in trash {
        remove_tree(&folder)?;
    }
    Ok(())
}

/// Whether a living process uses the tree.
fn is_held(store: &Store, tree: &str) -> Result<bool, FileError> {
    let leases = store.layout().leases();
    for entry in fs::read_dir(&leases).map_err(FileError::at("list", &leases))? {
        let folder = entry.map_err(FileError::at("list", &leases))?.path();
        if folder.join(HELD).join(tree).exists() && !lease::is_dead(&folder)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn set_aside(folder: &Path, to: &Path) -> Result<(), FileError> {
    match fs::rename(folder, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::at("set aside", folder)(error)),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Lock {
    Shared,
    Alone,
}

/// The lock ends when the file is closed.
fn lock(store: &Store, how: Lock) -> Result<File, FileError> {
    let path = store.layout().workspaces().join(LOCK);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(FileError::at("open", &path))?;
    match how {
        Lock::Shared => file.lock_shared(),
        Lock::Alone => file.lock(),
    }
    .map_err(FileError::at("lock", &path))?;
    Ok(file)
}

/// The folder as the index knows it. Names that are not text may fall together, which costs no more than a copy.
fn name_of(root: &Path) -> String {
    root.to_string_lossy().into_owned()
}
