//! The backend whose machines are namespaces on this machine.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use hm_plugin_protocol::SnapshotRef;
use hm_sandbox::Overlays;
use hm_store::image::{PullObserver, Unobserved};
use hm_store::{ContentHash, ImageRef, ImageSettings, Images, SnapshotError, Store};

use super::image::SandboxImage;
use super::layers::Layers;
use super::machine::SandboxMachine;
use super::shared::{Shared, blocking, snapshot_error};
use crate::deltas::Ground;
use crate::docker::EngineAddress;
use crate::in_use::Use;
use crate::machine::{BootImage, DEFAULT_WORKDIR, MachineRequest, SharedError, Vm, VmBackend, VmError};
use crate::user::Identity;

const NAME: &str = "sandbox";

/// What the sandbox is made with.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Keeps layers, workspaces and images.
    pub store: Store,
    /// Folders of this machine that steps on the image `host` see read-only at the same place.
    pub expose: Vec<PathBuf>,
    /// The home of who builds, which steps on the image `host` don't see, wherever it lies.
    pub home: Option<PathBuf>,
    /// slirp4netns(1), which connects isolated networks; `None`: there are none.
    pub slirp4netns: Option<PathBuf>,
    /// What the roots of machines are.
    pub roots: RootKind,
    /// How many files commands may have open before they raise the limit themselves; `None`: as many as this process.
    pub open_files: Option<u64>,
}

impl SandboxSettings {
    /// Nothing but a store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            expose: Vec::new(),
            home: None,
            slirp4netns: None,
            roots: RootKind::Overlays,
            open_files: None,
        }
    }
}

/// When roots of machines are overlays, and not copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// Always: a machine fails where the kernel mounts none.
    Overlays,
    /// Overlays where the kernel mounts them.
    OverlaysElseCopies,
    /// Never.
    Copies,
}

impl RootKind {
    /// What a launcher is told. `trial` is a folder on the store's file system, not there yet, in which it tries the kernel.
    pub fn overlays(self, trial: PathBuf) -> Overlays {
        match self {
            Self::Overlays => Overlays::Always,
            Self::OverlaysElseCopies => Overlays::WherePossible { trial },
            Self::Copies => Overlays::Never,
        }
    }
}

/// Makes machines of Linux namespaces. The program's `main` has to call
/// [`hm_sandbox::run_launcher_if_requested`] first. Clones are the same backend.
#[derive(Clone, Debug)]
pub struct SandboxBackend {
    shared: Arc<Shared>,
}

impl SandboxBackend {
    /// Costs nothing yet: the launcher is started by the first machine. Images are for this machine, and registries are
    /// reached directly and without credentials.
    pub fn new(settings: SandboxSettings) -> Self {
        let images = Images::new(settings.store.clone(), ImageSettings::default());
        Self::with_images(settings, images, Arc::new(Unobserved))
    }

    /// As [`SandboxBackend::new`], with images that are resolved as the caller says, into the same store; `observer` is
    /// told how pulls get on.
    pub fn with_images(settings: SandboxSettings, images: Images, observer: Arc<dyn PullObserver>) -> Self {
        Self {
            shared: Arc::new(Shared::new(settings, (images, observer))),
        }
    }

    /// Images `docker-daemon:NAME` are those of the Docker engine at this address, which is asked when such an image is.
    #[must_use]
    pub fn with_engine(self, address: EngineAddress) -> Self {
        self.shared.engine.get_or_init(|| address);
        self
    }

    async fn machine(&self, parts: Parts, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError> {
        let Parts {
            layers,
            image_env,
            identity,
            workdir,
            uses,
            mut notes,
        } = parts;
        notes.extend(self.shared.note_on_copies().await?);
        Ok(Box::new(SandboxMachine {
            shared: Arc::clone(&self.shared),
            layers,
            image_env,
            identity,
            workdir,
            network: request.network,
            limits: request.limits,
            uses,
            notes,
            scratch: None,
            running: None,
        }))
    }
}

/// What a machine is made of.
struct Parts {
    layers: Layers,
    image_env: Vec<(String, String)>,
    identity: Identity,
    workdir: String,
    uses: Vec<Use>,
    notes: Vec<String>,
}

#[async_trait]
impl VmBackend for SandboxBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn resolve_image(&self, image: &str) -> Result<BootImage, VmError> {
        let failed = |fix: Option<String>, source: SharedError| VmError::Image {
            image: image.to_owned(),
            fix,
            source,
        };
        let reference = ImageRef::parse(image).map_err(|error| failed(None, Arc::new(error)))?;
        let resolved = if let ImageRef::DockerDaemon(name) = &reference {
            self.shared.engine_image(name).await?
        } else {
            let (images, observer) = &self.shared.images;
            let resolved = images.resolve(&reference, Arc::clone(observer)).await;
            resolved.map_err(|error| failed(error.fix(), Arc::new(error)))?
        };
        let sandbox = Arc::new(SandboxImage::new(resolved, self.shared.store.xattrs())?);
        self.shared.remember(Arc::clone(&sandbox));
        Ok(BootImage::new(
            image,
            sandbox.resolved.digest,
            sandbox.config(),
            sandbox,
        ))
    }

    async fn create(&self, image: &BootImage, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError> {
        let Some(sandbox) = image.handle::<SandboxImage>() else {
            return Err(VmError::ForeignImage {
                image: image.reference().to_owned(),
                backend: NAME,
            });
        };
        let shared = &self.shared;
        let identity = sandbox.identity.clone();
        let image_env = sandbox.resolved.config.env.clone();
        let workspace = request.workspace.as_deref();
        let as_captured = workspace.filter(|_| identity.uid == 0);
        let mut parts = Parts {
            layers: shared.image_layers(sandbox, as_captured, workspace.is_some(), request.network)?,
            image_env,
            identity,
            workdir: sandbox.workdir(workspace.is_some()),
            uses: Vec::new(),
            notes: Vec::new(),
        };
        if let (Some(workspace), None) = (workspace, as_captured) {
            let ground = Ground::Image(sandbox.resolved.digest);
            let owned = shared
                .with_workspace(ground, &parts.layers, None, workspace, &parts.identity)
                .await?;
            let stack = shared.stack(&owned.snapshot).await?;
            parts.uses.push(shared.in_use.enter(&owned.snapshot));
            parts.layers = shared.snapshot_layers(&owned.snapshot, stack, true, request.network)?;
        }
        self.machine(parts, request).await
    }

    async fn restore(&self, snapshot: &SnapshotRef, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError> {
        let shared = &self.shared;
        // Entered before it is looked at, so that it can't be released in between.
        let mut uses = vec![shared.in_use.enter(snapshot)];
        let mut notes = Vec::new();
        let stack = shared.stack(snapshot).await?;
        let image = shared.image(&stack.image);
        let identity = image
            .as_ref()
            .map_or_else(Identity::root, |image| image.identity.clone());
        let tree = stack.tree;
        let has_workspace = tree.is_some() || request.workspace.is_some();
        let workdir = image
            .as_ref()
            .map_or_else(|| DEFAULT_WORKDIR.to_owned(), |image| image.workdir(has_workspace));
        let image_env = image.map(|image| image.resolved.config.env.clone()).unwrap_or_default();
        let mut layers = shared.snapshot_layers(snapshot, stack, has_workspace, request.network)?;
        let newer = request
            .workspace
            .as_deref()
            .filter(|workspace| tree != Some(workspace.tree));
        if let Some(workspace) = newer {
            let ground = Ground::Snapshot(snapshot.clone());
            let delta = shared
                .with_workspace(ground, &layers, tree, workspace, &identity)
                .await?;
            uses.push(shared.in_use.enter(&delta.snapshot));
            shared.flatten_if_deep(&delta.snapshot, layers.depth + 1);
            let stack = shared.stack(&delta.snapshot).await?;
            layers = shared.snapshot_layers(&delta.snapshot, stack, true, request.network)?;
            notes = delta.notes;
        }
        let parts = Parts {
            layers,
            image_env,
            identity,
            workdir,
            uses,
            notes,
        };
        self.machine(parts, request).await
    }

    async fn content_hash(&self, snapshot: &SnapshotRef) -> Result<ContentHash, VmError> {
        let (shared, snapshot) = (Arc::clone(&self.shared), snapshot.clone());
        let hash = blocking(move || shared.store.snapshots().content_hash(&snapshot)).await?;
        hash.map_err(snapshot_error)
    }

    async fn release(&self, snapshot: &SnapshotRef) -> Result<(), VmError> {
        let shared = Arc::clone(&self.shared);
        let machines = shared.in_use.count(snapshot);
        if machines > 0 {
            return Err(VmError::InUse {
                snapshot: snapshot.clone(),
                machines,
            });
        }
        let mut released = shared.deltas.take_on(snapshot);
        released.push(snapshot.clone());
        let done = blocking(move || {
            released
                .iter()
                .try_for_each(|gone| shared.store.snapshots().release(gone))
        });
        done.await?.map_err(snapshot_error)
    }

    async fn exists(&self, snapshot: &SnapshotRef) -> bool {
        self.shared.store.snapshots().exists(snapshot).unwrap_or(false)
    }

    async fn close(&self) -> Result<(), VmError> {
        let shared = Arc::clone(&self.shared);
        let closed = match shared.started_launcher() {
            Some(launcher) => launcher.close().await,
            None => Ok(()),
        };
        shared.settle().await;
        let deltas = shared.deltas.take_all();
        let store = shared.store.clone();
        let released: Result<(), SnapshotError> =
            blocking(move || deltas.iter().try_for_each(|delta| store.snapshots().release(delta))).await?;
        closed.map_err(|error| VmError::Close {
            source: Arc::new(error),
        })?;
        released.map_err(|error| VmError::Close {
            source: Arc::new(error),
        })
    }
}
