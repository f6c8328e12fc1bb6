//! From a container to a snapshot.

use std::io;

use bollard::body_try_stream;
use bollard::models::ContainerConfig;
use bollard::query_parameters::{CommitContainerOptionsBuilder, CreateImageOptionsBuilder};
use futures::{StreamExt, TryStreamExt};
use hm_plugin_protocol::SnapshotRef;
use hm_store::{NewSnapshot, SnapshotBase, SnapshotKind, TreeId};

use super::error::DockerError;
use super::record::{Base, Origin, Record};
use super::shared::{Shared, snapshot_error};
use crate::machine::VmError;

/// Engines take 127 layers (overlay2, containerd's overlayfs): an image that would get this many becomes one of one layer.
const FLATTEN_AT: usize = 100;

/// What a new snapshot is made of.
#[derive(Debug)]
pub(super) struct Keep<'a> {
    pub(super) container: &'a str,
    pub(super) parent: Option<&'a SnapshotRef>,
    /// Layers of the image that the container was made from.
    pub(super) depth: usize,
    pub(super) base: Base,
    pub(super) tree: Option<TreeId>,
    pub(super) origin: Origin,
}

impl Shared {
    /// Keeps the files of a container that doesn't run. The caller holds the snapshot.
    pub(super) async fn keep(&self, keep: Keep<'_>) -> Result<SnapshotRef, VmError> {
        let Keep {
            container,
            parent,
            depth,
            base,
            tree,
            origin,
        } = keep;
        let (image, depth) = if depth + 1 >= FLATTEN_AT {
            (self.flatten(container).await, 1)
        } else {
            (self.commit(container).await, depth + 1)
        };
        let image = image.map_err(snapshot_error)?;
        let record = Record {
            image,
            parent: parent.cloned(),
            origin,
            tree,
            base,
            depth,
        };
        self.keep_record(record)
    }

    /// Enters a snapshot for an image of the engine.
    pub(super) fn keep_record(&self, record: Record) -> Result<SnapshotRef, VmError> {
        let entered = self.enter_record(&record);
        match entered {
            Ok(snapshot) => {
                self.enter(&snapshot, record);
                Ok(snapshot)
            }
            Err(error) => {
                self.janitor.remove_image(record.image);
                Err(error)
            }
        }
    }

    fn enter_record(&self, record: &Record) -> Result<SnapshotRef, VmError> {
        let scratch = self.store.scratch().map_err(snapshot_error)?;
        record.write(&scratch.upper()).map_err(snapshot_error)?;
        let base = match &record.parent {
            Some(parent) => SnapshotBase::Snapshot(parent.clone()),
            None => SnapshotBase::Image {
                digest: record.base.digest,
                image_layers: Vec::new(),
                tree: record.tree,
            },
        };
        let kind = match (&record.origin, record.tree) {
            (Origin::Delta, Some(tree)) => SnapshotKind::WorkspaceDelta { tree },
            _ => SnapshotKind::Step,
        };
        let new = NewSnapshot { base, kind };
        self.store.snapshots().commit(scratch, new).map_err(snapshot_error)
    }

    /// A name and a tag for an image, where the engine removes images without names as soon as the last one on top goes.
    fn image_name(&self) -> Option<(String, String)> {
        self.is_podman.then(|| (self.repository(), self.new_name()))
    }

    async fn commit(&self, container: &str) -> Result<String, DockerError> {
        let options = CommitContainerOptionsBuilder::default()
            .container(container)
            .pause(false);
        let name = self.image_name();
        let options = match &name {
            Some((name, tag)) => options.repo(name).tag(tag),
            None => options,
        }
        .build();
        let kept = self.docker.commit_container(options, ContainerConfig::default()).await;
        let kept = kept.map_err(DockerError::engine("keep the files of a container"))?;
        // Podman leaves out the algorithm here, and takes an id without it for a name.
        Ok(match kept.id.split_once(':') {
            Some(_) => kept.id,
            None => format!("sha256:{}", kept.id),
        })
    }

    /// An image of one layer with all files of the container.
    pub(super) async fn flatten(&self, container: &str) -> Result<String, DockerError> {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .changes(vec![format!("LABEL {}", labels.join(" "))]);
        let name = self.image_name().map(|(name, tag)| format!("{name}:{tag}"));
        let options = match &name {
            // Podman does not look at a tag beside it.
            Some(name) => options.repo(name),
            None => options,
        }
        .build();
        let files = self.docker.export_container(container).map_err(io::Error::other);
        // The body has to own what it reads: it is handed over piece by piece.
        let (send, receive) = tokio::sync::mpsc::channel(8);
        let body = futures::stream::unfold(receive, async |mut receive: tokio::sync::mpsc::Receiver<_>| {
            receive.recv().await.map(|piece| (piece, receive))
        });
        let feed = async move {
            let mut files = std::pin::pin!(files);
            while let Some(piece) = files.next().await {
                if send.send(piece).await.is_err() {
                    break;
                }
            }
        };
        let import = self
            .docker
            .create_image(Some(options), Some(body_try_stream(body)), None)
            .try_fold(None, async |_, told| Ok(told.status));
        let ((), imported) = futures::future::join(feed, import).await;
        let id = imported.map_err(DockerError::engine("merge the layers of an image"))?;
        id.filter(|id| id.starts_with("sha256:")).ok_or(DockerError::Answer {
            what: "the id of an image that it made",
        })
    }
}
