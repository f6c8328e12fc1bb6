//! The backend whose machines are in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hm_plugin_protocol::SnapshotRef;
use hm_store::workspace::Workspace;
use hm_store::{ContentHash, TreeId};

use super::content;
use super::delta::PutTree;
use super::fs::Fs;
use super::image::MemoryImage;
use super::machine::MemoryMachine;
use crate::machine::{BootImage, ImageConfig, MachineRequest, SharedError, Vm, VmBackend, VmError};
use crate::user::Identity;

const NAME: &str = "memory";

/// Makes machines in memory. Clones are the same backend.
#[derive(Clone, Debug)]
pub struct MemoryBackend {
    shared: Arc<Shared>,
}

/// What machines keep of their backend.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    images: HashMap<String, BootImage>,
    snapshots: HashMap<SnapshotRef, Held>,
    /// Trees that were read, by tree and owner.
    trees: HashMap<(TreeId, u32, u32), PutTree>,
    made: u64,
    closed: bool,
}

#[derive(Debug)]
struct Held {
    snapshot: Arc<Snapshot>,
    /// Machines restored from it that aren't closed.
    machines: usize,
}

/// What a machine's files were at a moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) fs: Fs,
    /// The workspace that was put in last.
    pub(super) tree: Option<PutTree>,
    pub(super) config: ImageConfig,
    pub(super) hash: ContentHash,
}

#[derive(Debug, thiserror::Error)]
#[error("machines in memory know no image of this name")]
struct NoSuchImage;

impl MemoryBackend {
    /// A backend that knows the images `base` and `host`, both [`MemoryImage::base`].
    pub fn new() -> Self {
        let backend = Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
            }),
        };
        backend.add_image("base", MemoryImage::base());
        backend.add_image("host", MemoryImage::base());
        backend
    }

    /// Makes an image known by a name, in place of an earlier one of that name.
    pub fn add_image(&self, name: &str, image: MemoryImage) {
        let digest = image.digest();
        let config = image.image_config().clone();
        let boot = BootImage::new(name, digest, config, Arc::new(image));
        self.shared.lock().images.insert(name.to_owned(), boot);
    }

    /// How many snapshots are held.
    pub fn snapshot_count(&self) -> usize {
        self.shared.lock().snapshots.len()
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, snapshot: Snapshot) -> SnapshotRef {
        let mut state = self.lock();
        state.made += 1;
        let name = SnapshotRef(format!("memory-{}", state.made));
        state.snapshots.insert(
            name.clone(),
            Held {
                snapshot: Arc::new(snapshot),
                machines: 0,
            },
        );
        name
    }

    /// The files of a workspace, owned by the machine's user.
    pub(super) fn workspace(&self, workspace: &Workspace, owner: &Identity) -> Result<PutTree, SharedError> {
        let name = (workspace.tree, owner.uid, owner.gid);
        if let Some(tree) = self.lock().trees.get(&name) {
            return Ok(tree.clone());
        }
        let tree = PutTree::read(workspace, owner)?;
        self.lock().trees.insert(name, tree.clone());
        Ok(tree)
    }

    /// A machine that was restored from the snapshot is no more.
    pub(super) fn leave(&self, snapshot: &SnapshotRef) {
        if let Some(held) = self.lock().snapshots.get_mut(snapshot) {
            held.machines = held.machines.saturating_sub(1);
        }
    }
}

impl State {
    fn open(&self) -> Result<(), VmError> {
        if self.closed {
            Err(VmError::Closed { backend: NAME })
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl VmBackend for MemoryBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn resolve_image(&self, image: &str) -> Result<BootImage, VmError> {
        let state = self.shared.lock();
        state.open()?;
        state.images.get(image).cloned().ok_or_else(|| VmError::Image {
            image: image.to_owned(),
            fix: None,
            source: Arc::new(NoSuchImage),
        })
    }

    async fn create(&self, image: &BootImage, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError> {
        self.shared.lock().open()?;
        let Some(memory) = image.handle::<MemoryImage>() else {
            return Err(VmError::ForeignImage {
                image: image.reference().to_owned(),
                backend: NAME,
            });
        };
        let start = Snapshot {
            fs: memory.fs().clone(),
            tree: None,
            config: memory.image_config().clone(),
            hash: content::start(image.digest()),
        };
        Ok(Box::new(MemoryMachine::boot(
            Arc::clone(&self.shared),
            None,
            &start,
            request,
        )?))
    }

    async fn restore(&self, snapshot: &SnapshotRef, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError> {
        let found = {
            let mut state = self.shared.lock();
            state.open()?;
            let held = state.snapshots.get_mut(snapshot);
            let held = held.ok_or_else(|| VmError::SnapshotMissing {
                snapshot: snapshot.clone(),
            })?;
            held.machines += 1;
            Arc::clone(&held.snapshot)
        };
        match MemoryMachine::boot(Arc::clone(&self.shared), Some(snapshot.clone()), &found, request) {
            Ok(machine) => Ok(Box::new(machine)),
            Err(error) => {
                self.shared.leave(snapshot);
                Err(error)
            }
        }
    }

    async fn content_hash(&self, snapshot: &SnapshotRef) -> Result<ContentHash, VmError> {
        let state = self.shared.lock();
        let held = state.snapshots.get(snapshot);
        held.map(|held| held.snapshot.hash)
            .ok_or_else(|| VmError::SnapshotMissing {
                snapshot: snapshot.clone(),
            })
    }

    async fn release(&self, snapshot: &SnapshotRef) -> Result<(), VmError> {
        let mut state = self.shared.lock();
        match state.snapshots.get(snapshot) {
            Some(Held { machines: 0, .. }) => {
                state.snapshots.remove(snapshot);
                Ok(())
            }
            Some(held) => Err(VmError::InUse {
                snapshot: snapshot.clone(),
                machines: held.machines,
            }),
            None => Err(VmError::SnapshotMissing {
                snapshot: snapshot.clone(),
            }),
        }
    }

    async fn exists(&self, snapshot: &SnapshotRef) -> bool {
        self.shared.lock().snapshots.contains_key(snapshot)
    }

    async fn close(&self) -> Result<(), VmError> {
        let mut state = self.shared.lock();
        state.closed = true;
        state.snapshots.clear();
        Ok(())
    }
}
