//! What is kept about a snapshot.

use std::fs;
use std::io;
use std::path::Path;

use hm_plugin_protocol::SnapshotRef;
use hm_store::{ImageDigest, TreeId};
use serde::{Deserialize, Serialize};

use super::error::DockerError;

/// The file in the layer of a snapshot.
pub(super) const FILE: &str = "docker.json";

/// One snapshot: an image of the engine, and how it came about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Full id of the engine's image.
    pub(super) image: String,
    /// The snapshot that it was made from.
    pub(super) parent: Option<SnapshotRef>,
    pub(super) origin: Origin,
    /// The workspace that it holds.
    pub(super) tree: Option<TreeId>,
    /// The image at the bottom.
    pub(super) base: Base,
    /// Layers of the engine's image, at most.
    pub(super) depth: usize,
}

/// How a snapshot came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Origin {
    /// An image with a workspace.
    Seed,
    /// A newer workspace.
    Delta,
    /// A step.
    Step,
}

/// What a pipeline's image says about running commands in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) digest: ImageDigest,
    pub(super) env: Vec<(String, String)>,
    /// As the image names it; empty for root.
    pub(super) user: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
    /// Folders whose files are in no snapshot: each container has others.
    pub(super) has_volumes: bool,
}

impl Record {
    /// The record in a layer, where it has one.
    pub(super) fn read(layer: &Path) -> Result<Option<Self>, DockerError> {
        match fs::read(layer.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(DockerError::Record),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(DockerError::files("read the record of a snapshot")(error)),
        }
    }

    pub(super) fn write(&self, layer: &Path) -> Result<(), DockerError> {
        let bytes = serde_json::to_vec(self).map_err(DockerError::Record)?;
        fs::write(layer.join(FILE), bytes).map_err(DockerError::files("write the record of a snapshot"))
    }
}
