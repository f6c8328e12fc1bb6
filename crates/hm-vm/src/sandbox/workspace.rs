//! Workspaces in machines that boot from something with another tree, or that don't run as root.
//!
//! Both are a snapshot more: the delta between two trees, or a whole tree with the user as its owner. It is made once
//! for all machines that need the same.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_sandbox::{ApplyOp, ApplyRequest, Expected, Owner};
use hm_store::workspace::{DeltaOp, Entry, EntryKind, Manifest, WORKSPACE_FOLDER, Workspace};
use hm_store::{NewSnapshot, SnapshotKind, TreeId};

use super::layers::Layers;
use super::shared::{Shared, snapshot_error};
use crate::deltas::{Delta, Ground};
use crate::machine::{SharedError, VmError};
use crate::memory::conflict_note;
use crate::user::Identity;

impl Shared {
    /// A snapshot of `ground`, whose layers these are, with the tree `old` replaced by the workspace.
    pub(super) async fn with_workspace(
        &self,
        ground: Ground,
        layers: &Layers,
        old: Option<TreeId>,
        workspace: &Workspace,
        owner: &Identity,
    ) -> Result<Delta, VmError> {
        let flight = self.deltas.flight(ground, (workspace.tree, owner.uid, owner.gid));
        flight
            .get_or_try_init(|| self.make_delta(layers, old, workspace, owner))
            .await
            .cloned()
    }

    async fn make_delta(
        &self,
        layers: &Layers,
        old: Option<TreeId>,
        workspace: &Workspace,
        owner: &Identity,
    ) -> Result<Delta, VmError> {
        let old = match old {
            Some(tree) => self.store.manifest(&tree).map_err(|error| failed(Arc::new(error)))?,
            None => Arc::default(),
        };
        let scratch = self.scratch(layers)?;
        let request = ApplyRequest {
            rootfs: layers.root(self.store.layout().root(), &scratch),
            target: Path::new("/").join(WORKSPACE_FOLDER),
            source: workspace.layer.join(WORKSPACE_FOLDER),
            owner: Owner {
                uid: owner.uid,
                gid: owner.gid,
            },
            ops: operations(&old, &workspace.manifest),
        };
        let report = match self.launcher().await?.apply(&request).await {
            Ok(report) => report,
            Err(error) => {
                // The first error counts; what is left goes with the lease.
                drop(scratch.close());
                return Err(failed(Arc::new(error)));
            }
        };
        let new = NewSnapshot {
            base: layers.base.clone(),
            kind: SnapshotKind::WorkspaceDelta { tree: workspace.tree },
        };
        let snapshot = self.store.snapshots().commit(scratch, new).map_err(snapshot_error)?;
        let place = Path::new("/").join(WORKSPACE_FOLDER);
        let notes = report
            .conflicts
            .iter()
            .map(|path| conflict_note(&place.join(path)))
            .collect();
        Ok(Delta { snapshot, notes })
    }
}

fn failed(source: SharedError) -> VmError {
    VmError::Workspace { source }
}

/// The difference in the sandbox's words: with what is known of the old files, so that it sees what steps changed.
fn operations(old: &Manifest, new: &Manifest) -> Vec<ApplyOp> {
    let mut removed: Vec<Box<[u8]>> = Vec::new();
    let ops = Manifest::diff(old, new).into_iter().map(|op| match op {
        DeltaOp::Remove { path, dir } => {
            let expected = old.get(&path).and_then(expected);
            let op = ApplyOp::Remove {
                path: path_of(&path),
                dir,
                expected,
            };
            removed.push(path);
            op
        }
        DeltaOp::Put { path } => {
            // What changes its kind is removed first, and then nothing is replaced.
            let replaced = old.get(&path).filter(|_| !removed.contains(&path));
            ApplyOp::Put {
                path: path_of(&path),
                replaces: replaced.is_some(),
                expected: replaced.and_then(expected),
            }
        }
    });
    ops.collect()
}

fn path_of(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path))
}

fn expected(entry: &Entry) -> Option<Expected> {
    match entry.kind {
        EntryKind::File { size, hash: _ } => {
            let mtime_ns = i64::try_from(entry.mtime_ns).ok()?;
            Some(Expected {
                size,
                mode: entry.mode,
                mtime_ns,
            })
        }
        EntryKind::Dir | EntryKind::Symlink { .. } => None,
    }
}
