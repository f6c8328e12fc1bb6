//! What a machine is mounted from.

use std::path::{Path, PathBuf};

use hm_sandbox::RootFs;
use hm_store::{Scratch, SnapshotBase};

/// Lower layers and what lies on them when they become part of a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    /// Top first; those of the store relative to its root.
    pub(super) lower: Vec<PathBuf>,
    /// The image is this machine's own system, below all layers.
    pub(super) host: bool,
    /// Layers of steps among them.
    pub(super) depth: usize,
    /// What a snapshot of a machine on these layers stands on.
    pub(super) base: SnapshotBase,
}

impl Layers {
    /// The layer whose root says what `/` is like: the uppermost of a step, else of the image. `None`: the image has no
    /// layers.
    pub(super) fn uppermost(&self) -> Option<&Path> {
        let of_step = self.lower.first().filter(|_| self.depth > 0);
        of_step.map(PathBuf::as_path).or_else(|| match &self.base {
            SnapshotBase::Image { image_layers, .. } => image_layers.last().map(PathBuf::as_path),
            SnapshotBase::Snapshot(_) => None,
        })
    }

    /// The root file system of a machine on these layers.
    pub(super) fn root(&self, store: &Path, scratch: &Scratch) -> RootFs {
        RootFs {
            lower: self.lower.clone(),
            lower_base: store.to_owned(),
            host_root: self.host,
            upper: scratch.upper(),
            work: scratch.work(),
            merged: scratch.merged(),
        }
    }
}

/// Short names keep mount options short, and the store can be moved.
pub(super) fn relative(store: &Path, layers: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let shorten = |layer: PathBuf| layer.strip_prefix(store).map(Path::to_owned).unwrap_or(layer);
    layers.into_iter().map(shorten).collect()
}
