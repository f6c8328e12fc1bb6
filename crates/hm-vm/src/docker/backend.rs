//! The backend whose machines are containers.

use std::sync::Arc;

use async_trait::async_trait;
use hm_plugin_protocol::SnapshotRef;
use hm_store::image::RegistrySettings;
use hm_store::{ContentHash, Store};

use super::address::EngineAddress;
use super::error::DockerError;
use super::image::DockerImage;
use super::machine::DockerMachine;
use super::shared::Shared;
use crate::in_use::Use;
use crate::machine::{BootImage, MachineRequest, Vm, VmBackend, VmError};

const NAME: &str = "docker";

/// What the backend is made with.
#[derive(Clone, Debug)]
pub struct DockerSettings {
    /// Keeps what is known of snapshots; its leases are those of the engine's containers and images.
    pub store: Store,
    /// Where the engine listens.
    pub address: EngineAddress,
    /// Put on all that is made as the label `dev.hm.run`.
    pub run: Option<String>,
    /// Has the credentials for what the engine pulls; nothing else of it is used.
    pub registries: RegistrySettings,
    /// Hears of pulls.
    pub observer: Option<Arc<dyn EngineObserver>>,
}

/// Hears what an engine does that takes long.
pub trait EngineObserver: Send + Sync + std::fmt::Debug {
    /// A line about it.
    fn note(&self, text: &str);
}

/// Makes machines of containers. Clones are the same backend.
#[derive(Clone, Debug)]
pub struct DockerBackend {
    shared: Arc<Shared>,
}

impl DockerBackend {
    /// Connects to the engine, and removes what processes that are dead left there.
    ///
    /// # Errors
    /// The address can't be used, the engine doesn't answer, or what it holds can't be listed or removed.
    pub async fn connect(settings: DockerSettings) -> Result<Self, DockerError> {
        let shared = Arc::new(Shared::connect(settings).await?);
        shared.sweep().await?;
        Ok(Self { shared })
    }

    /// What the engine runs on, in its own words, as in `linux/amd64`.
    pub fn platform(&self) -> String {
        format!("{}/{}", self.shared.os, self.shared.arch)
    }

    fn machine(
        &self,
        snapshot: SnapshotRef,
        request: &MachineRequest,
        uses: Vec<Use>,
        notes: Vec<String>,
    ) -> Result<Box<dyn Vm>, VmError> {
        let record = self.shared.node(&snapshot)?.record;
        Ok(Box::new(DockerMachine {
            shared: Arc::clone(&self.shared),
            snapshot,
            record,
            network: request.network,
            limits: request.limits,
            uses,
            notes,
            between: Vec::new(),
            container: None,
            holds: Vec::new(),
            left: None,
        }))
    }
}

#[async_trait]
impl VmBackend for DockerBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn resolve_image(&self, image: &str) -> Result<BootImage, VmError> {
        let found = self.shared.find_image(image).await?;
        let digest = found.base.digest;
        Ok(BootImage::new(image, digest, found.config.clone(), Arc::new(found)))
    }

    async fn create(&self, image: &BootImage, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError> {
        let Some(docker) = image.handle::<DockerImage>() else {
            return Err(VmError::ForeignImage {
                image: image.reference().to_owned(),
                backend: NAME,
            });
        };
        let seed = self.shared.seed(docker, request.workspace.as_ref()).await?;
        let uses = vec![self.shared.in_use.enter(&seed)];
        self.machine(seed, request, uses, docker.notes.clone())
    }

    async fn restore(&self, snapshot: &SnapshotRef, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError> {
        let shared = &self.shared;
        // Entered before it is looked at, so that it can't be released in between.
        let mut uses = vec![shared.in_use.enter(snapshot)];
        if let Some(left) = shared.go_on_in(snapshot, request).await {
            return Ok(Box::new(DockerMachine::going_on(Arc::clone(shared), left, uses)));
        }
        let snapshot = &shared.settled(snapshot).await?;
        uses.push(shared.in_use.enter(snapshot));
        let node = shared.node(snapshot)?;
        let newer = request
            .workspace
            .as_ref()
            .filter(|workspace| node.record.tree != Some(workspace.tree));
        let Some(workspace) = newer else {
            return self.machine(snapshot.clone(), request, uses, Vec::new());
        };
        let delta = shared.with_workspace(snapshot, &node, workspace).await?;
        uses.push(shared.in_use.enter(&delta.snapshot));
        self.machine(delta.snapshot, request, uses, delta.notes)
    }

    async fn content_hash(&self, snapshot: &SnapshotRef) -> Result<ContentHash, VmError> {
        let snapshot = self.shared.settled(snapshot).await?;
        self.shared.content_hash(&snapshot).await
    }

    async fn release(&self, snapshot: &SnapshotRef) -> Result<(), VmError> {
        let machines = self.shared.in_use.count(snapshot);
        if machines > 0 {
            return Err(VmError::InUse {
                snapshot: snapshot.clone(),
                machines,
            });
        }
        let shared = &self.shared;
        let kept = match shared.take_pending(snapshot).await {
            Some(made) => made,
            None => Some(snapshot.clone()),
        };
        if let Some(kept) = kept {
            let mut released = shared.deltas.take_on(&kept);
            released.push(kept);
            released.iter().try_for_each(|gone| shared.give_up(gone))?;
        }
        shared.give_up_late()
    }

    async fn exists(&self, snapshot: &SnapshotRef) -> bool {
        if self.shared.is_pending(snapshot).await {
            return true;
        }
        match self.shared.node(snapshot) {
            // What this process made is there until it gives it up.
            Ok(node) if node.own => self.shared.store.snapshots().exists(snapshot).unwrap_or(false),
            // What another made may have been removed from the engine by hand.
            Ok(node) => matches!(self.shared.inspect(&node.record.image).await, Ok(Some(_))),
            Err(_) => false,
        }
    }

    async fn close(&self) -> Result<(), VmError> {
        let shared = &self.shared;
        shared.deltas.take_all();
        shared.pendings.clear();
        let removed = shared.janitor.settle().await;
        let own = shared.remove_own().await;
        let kept = shared.kept_images();
        shared.give_up_all();
        // An image that a call which was dropped has made is known to nobody, and keeps those that it stands on.
        let late = shared.janitor.settle().await;
        let unknown = shared.remove_own_images(&kept).await;
        let late = late.into_iter().filter(|error| error.status() != Some(409));
        // The engine may have ended only now what a killed process had asked it for when this one started.
        let dead = shared.sweep().await;
        let problems = removed.into_iter().chain(own.err()).chain(late);
        let problems = problems.chain(unknown.err()).chain(dead.err());
        match problems.into_iter().next() {
            Some(problem) => Err(VmError::Close {
                source: Arc::new(problem),
            }),
            None => Ok(()),
        }
    }
}
