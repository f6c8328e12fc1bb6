//! Where things lie under the store's root. Names are short: paths of layers end up in mount options.

use std::path::{Path, PathBuf};

use crate::ids::{ImageDigest, LayerId, LeaseId, TreeId};

/// Version of the layout, the content of `FORMAT`.
pub(crate) const FORMAT: &str = "1";
/// The folder of a captured workspace that is used as an overlay layer.
pub(crate) const WORKSPACE_LAYER: &str = "fs";

/// Paths under one root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The store's own folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that tells the version of the layout.
    pub fn format(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    /// The index.
    pub fn index(&self) -> PathBuf {
        self.root.join("hm.sqlite")
    }

    /// The file that is locked while a lease begins, so that two sweeps never meet.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The file that is locked while the store is made durable.
    pub(crate) fn sync_lock(&self) -> PathBuf {
        self.root.join("sync.lock")
    }

    /// All layers.
    pub fn layers(&self) -> PathBuf {
        self.root.join("l")
    }

    /// One layer.
    pub fn layer(&self, layer: &LayerId) -> PathBuf {
        self.layers().join(layer.as_str())
    }

    /// All captured workspaces.
    pub fn workspaces(&self) -> PathBuf {
        self.root.join("w")
    }

    /// One captured workspace: its manifest and `fs`.
    pub fn workspace(&self, tree: &TreeId) -> PathBuf {
        self.workspaces().join(tree.to_hex())
    }

    /// The folder of a captured workspace that is used as an overlay layer.
    pub fn workspace_layer(&self, tree: &TreeId) -> PathBuf {
        self.workspace(tree).join(WORKSPACE_LAYER)
    }

    /// All builds.
    pub fn builds(&self) -> PathBuf {
        self.root.join("b")
    }

    /// One build: its journal.
    pub fn build(&self, number: u64) -> PathBuf {
        self.builds().join(number.to_string())
    }

    /// Logs of cached steps.
    pub fn logs(&self) -> PathBuf {
        self.root.join("c")
    }

    /// Lock files of cache keys.
    pub fn key_locks(&self) -> PathBuf {
        self.root.join("k")
    }

    /// Layers of images on their way from a registry.
    pub(crate) fn partial_blobs(&self) -> PathBuf {
        self.root.join("p")
    }

    /// Layers of images as their registry stores them, each under the hex digits of its digest.
    pub(crate) fn kept_blobs(&self) -> PathBuf {
        self.root.join("z")
    }

    /// One of them.
    pub(crate) fn kept_blob(&self, blob: &ImageDigest) -> PathBuf {
        self.kept_blobs().join(blob.to_hex())
    }

    /// All leases.
    pub fn leases(&self) -> PathBuf {
        self.root.join("live")
    }

    /// What one lease has for itself: `lock`, scratch machines and whatever is being made.
    pub fn lease(&self, lease: &LeaseId) -> PathBuf {
        self.leases().join(lease.as_str())
    }

    pub(crate) fn folders(&self) -> [PathBuf; 8] {
        [
            self.layers(),
            self.workspaces(),
            self.builds(),
            self.logs(),
            self.key_locks(),
            self.partial_blobs(),
            self.kept_blobs(),
            self.leases(),
        ]
    }
}
