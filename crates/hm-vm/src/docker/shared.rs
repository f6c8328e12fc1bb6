//! What all machines of one backend share.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::Docker;
use hm_plugin_protocol::SnapshotRef;
use hm_store::image::RegistrySettings;
use hm_store::{Store, TreeId};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::backend::{DockerSettings, EngineObserver};
use super::connect::{Connection, connect};
use super::error::DockerError;
use super::janitor::Janitor;
use super::nodes::{Node, Nodes};
use super::pending::Pendings;
use super::record::Record;
use crate::deltas::Deltas;
use crate::in_use::InUse;
use crate::machine::VmError;

/// On everything that is made: which store it belongs to.
pub(super) const STORE_LABEL: &str = "dev.hm.store";
/// And which lease made it.
pub(super) const LEASE_LABEL: &str = "dev.hm.lease";
const RUN_LABEL: &str = "dev.hm.run";
/// The file in the store's root that names the store among all that use an engine.
const ID_FILE: &str = "docker-id";

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) docker: Docker,
    pub(super) os: String,
    pub(super) arch: String,
    pub(super) is_podman: bool,
    pub(super) labels: HashMap<String, String>,
    pub(super) store_id: String,
    pub(super) in_use: InUse,
    pub(super) registries: RegistrySettings,
    pub(super) observer: Option<Arc<dyn EngineObserver>>,
    /// Snapshots that containers are made from which outlive their machines.
    pub(super) holds: InUse,
    /// Name of the network of isolated steps.
    pub(super) isolated: OnceCell<String>,
    /// By tree; `None` is an empty workspace.
    pub(super) deltas: Deltas<Option<TreeId>>,
    /// Held while a place for a seed is chosen and taken.
    pub(super) seed_places: Mutex<()>,
    pub(super) pendings: Pendings,
    pub(super) janitor: Janitor,
    nodes: Mutex<Nodes>,
    counter: AtomicU64,
}

impl Shared {
    pub(super) async fn connect(settings: DockerSettings) -> Result<Self, DockerError> {
        let DockerSettings {
            store,
            address,
            run,
            registries,
            observer,
        } = settings;
        let Connection {
            docker,
            os,
            arch,
            is_podman,
            ..
        } = connect(&address).await?;
        let store_id = store_id(&store)?;
        let mut labels = HashMap::from([
            (STORE_LABEL.to_owned(), store_id.clone()),
            (LEASE_LABEL.to_owned(), store.lease().as_str().to_owned()),
        ]);
        labels.extend(run.map(|run| (RUN_LABEL.to_owned(), run)));
        Ok(Self {
            store,
            os,
            arch,
            is_podman,
            labels,
            store_id,
            in_use: InUse::default(),
            holds: InUse::default(),
            registries,
            observer,
            isolated: OnceCell::new(),
            deltas: Deltas::default(),
            seed_places: Mutex::default(),
            pendings: Pendings::default(),
            janitor: Janitor::start(docker.clone()),
            docker,
            nodes: Mutex::default(),
            counter: AtomicU64::new(0),
        })
    }

    /// A name for a container that nobody else has.
    pub(super) fn new_name(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        format!("hm-{}-{}-{number}", self.store_id, self.store.lease().as_str())
    }

    /// What the names of images begin with that are given one.
    pub(super) fn repository(&self) -> String {
        format!("localhost/hm-{}", self.store_id)
    }

    /// The snapshot, of this process or from the store.
    pub(super) fn node(&self, snapshot: &SnapshotRef) -> Result<Node, VmError> {
        if let Some(node) = self.nodes().get(snapshot) {
            return Ok(node.clone());
        }
        let missing = || VmError::SnapshotMissing {
            snapshot: snapshot.clone(),
        };
        if !self.store.snapshots().exists(snapshot).map_err(snapshot_error)? {
            return Err(missing());
        }
        let layer = self.store.layout().layers().join(&snapshot.0);
        let record = Record::read(&layer).map_err(snapshot_error)?.ok_or_else(missing)?;
        Ok(self.nodes().enter(snapshot, record, false))
    }

    pub(super) fn enter(&self, snapshot: &SnapshotRef, record: Record) -> Node {
        self.nodes().enter(snapshot, record, true)
    }

    /// From the snapshot down to the image.
    pub(super) fn chain(&self, snapshot: &SnapshotRef) -> Result<Vec<Node>, VmError> {
        let mut chain = Vec::new();
        let mut next = Some(snapshot.clone());
        while let Some(id) = next.take() {
            let node = self.node(&id)?;
            next.clone_from(&node.record.parent);
            chain.push(node);
        }
        Ok(chain)
    }

    /// Gives up a snapshot here and in the store; its image goes when nothing needs it.
    pub(super) fn give_up(&self, snapshot: &SnapshotRef) -> Result<(), VmError> {
        if self.put_off(snapshot) {
            return Ok(());
        }
        self.store.snapshots().release(snapshot).map_err(snapshot_error)?;
        let gone = self.nodes().release(snapshot, |id| self.is_persistent(id));
        for image in gone {
            self.janitor.remove_image(image);
        }
        Ok(())
    }

    /// The images that cache entries refer to, of those that this process made.
    pub(super) fn kept_images(&self) -> HashSet<String> {
        self.nodes().kept_images(|id| self.is_persistent(id))
    }

    /// Gives up all that no cache entry refers to.
    pub(super) fn give_up_all(&self) {
        let gone = self.nodes().drain(|id| self.is_persistent(id));
        for image in gone {
            self.janitor.remove_image(image);
        }
    }

    /// In doubt it is: the sweep of a later start knows better.
    fn is_persistent(&self, snapshot: &SnapshotRef) -> bool {
        self.store.snapshots().is_persistent(snapshot).unwrap_or(true)
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the name of the store, or makes one. Of two processes that make one at once the first wins.
fn store_id(store: &Store) -> Result<String, DockerError> {
    let failed = |error| DockerError::files("name the store")(error);
    let path = store.layout().root().join(ID_FILE);
    let made = store.temporary();
    let id: String = Uuid::new_v4().simple().to_string().chars().take(12).collect();
    if !path.exists() {
        fs::write(&made, &id).map_err(failed)?;
        match fs::hard_link(&made, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
    }
    let id = fs::read_to_string(&path).map_err(failed)?;
    Ok(id.trim().to_owned())
}

pub(super) fn snapshot_error<E: std::error::Error + Send + Sync + 'static>(error: E) -> VmError {
    VmError::Snapshot {
        source: Arc::new(error),
    }
}

pub(super) fn start_error(error: DockerError) -> VmError {
    VmError::Start {
        source: Arc::new(error),
    }
}

pub(super) fn exec_error(error: DockerError) -> VmError {
    VmError::Exec {
        source: Arc::new(error),
    }
}
