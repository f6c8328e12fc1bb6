//! What the machines of one backend share.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hm_plugin_protocol::SnapshotRef;
use hm_sandbox::{HostView, Launcher, LauncherSettings, Roots};
use hm_store::image::PullObserver;
use hm_store::{ImageDigest, Images, Scratch, SnapshotBase, SnapshotError, Stack, Store, TreeId};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::backend::{RootKind, SandboxSettings};
use super::image::SandboxImage;
use super::layers::{Layers, relative};
use super::machine_layer::{LayerKind, MachineLayers};
use crate::deltas::Deltas;
use crate::docker::EngineAddress;
use crate::in_use::InUse;
use crate::machine::{Network, VmError};
use crate::user::Identity;

/// A snapshot with this many layers of steps is merged while the build goes on. Measured: 50 layers are nearly free,
/// 100 cost as much as the rest of a step.
const FLATTEN_BESIDE: usize = 64;
/// At most this much is copied for it.
const FLATTEN_BYTES: u64 = 256 << 20;
/// One with this many before a machine boots from it.
const FLATTEN_FIRST: usize = 300;
/// The same where the names of all layers have to fit into one page.
const FLATTEN_FIRST_OF_FEW: usize = 48;
/// Layers that the kernel takes, the image's and the machine's among them (`OVL_MAX_STACK`).
const MAX_STACK: usize = 500;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    /// What resolves images, and who is told of pulls.
    pub(super) images: (Images, Arc<dyn PullObserver>),
    pub(super) in_use: InUse,
    /// By tree, and the user and group who own it.
    pub(super) deltas: Deltas<(TreeId, u32, u32)>,
    /// Where the Docker engine is whose images are `docker-daemon:NAME`.
    pub(super) engine: OnceLock<EngineAddress>,
    expose: Vec<PathBuf>,
    /// See [`SandboxSettings`].
    home: Option<PathBuf>,
    slirp4netns: Option<PathBuf>,
    roots: RootKind,
    open_files: Option<u64>,
    launcher: OnceCell<Launcher>,
    copies_told: AtomicBool,
    machine_layers: MachineLayers,
    resolved: Mutex<HashMap<ImageDigest, Arc<SandboxImage>>>,
    background: Mutex<JoinSet<()>>,
}

impl Shared {
    pub(super) fn new(settings: SandboxSettings, images: (Images, Arc<dyn PullObserver>)) -> Self {
        let SandboxSettings {
            store,
            expose,
            home,
            slirp4netns,
            roots,
            open_files,
        } = settings;
        Self {
            slirp4netns,
            roots,
            open_files,
            store,
            images,
            in_use: InUse::default(),
            deltas: Deltas::default(),
            engine: OnceLock::new(),
            expose,
            home,
            launcher: OnceCell::new(),
            copies_told: AtomicBool::new(false),
            machine_layers: MachineLayers::default(),
            resolved: Mutex::default(),
            background: Mutex::default(),
        }
    }

    /// The launcher, started at its first use: a build of cached steps needs none.
    pub(super) async fn launcher(&self) -> Result<&Launcher, VmError> {
        let start = || async {
            let view = HostView {
                dir: self.store.temporary(),
                hidden: vec![self.store.layout().root().to_owned()],
                home: self.home.clone(),
                expose: self.expose.clone(),
            };
            Launcher::start(LauncherSettings {
                host_view: Some(view),
                slirp4netns: self.slirp4netns.clone(),
                overlays: self.roots.overlays(self.store.temporary()),
                open_files: self.open_files,
                ..LauncherSettings::default()
            })
            .await
        };
        self.launcher
            .get_or_try_init(start)
            .await
            .map_err(|error| VmError::Start {
                source: Arc::new(error),
            })
    }

    /// What to tell once of a build whose roots are copies, because the kernel mounts no overlays.
    pub(super) async fn note_on_copies(&self) -> Result<Option<String>, VmError> {
        let Roots::Copies { refused: Some(errno) } = self.launcher().await?.confinement().roots else {
            return Ok(None);
        };
        let is_told = self.copies_told.swap(true, Ordering::Relaxed);
        Ok((!is_told).then(|| {
            let cause = io::Error::from_raw_os_error(errno);
            format!("steps of this build work on copies of their images, which takes longer: the kernel mounts no overlays ({cause}). \
                     `sudo modprobe overlay` mends it where the module is there")
        }))
    }

    pub(super) fn started_launcher(&self) -> Option<&Launcher> {
        self.launcher.get()
    }

    pub(super) fn remember(&self, image: Arc<SandboxImage>) {
        self.resolved().insert(image.resolved.digest, image);
    }

    /// The image that a snapshot stands on, where this backend has resolved it.
    pub(super) fn image(&self, digest: &ImageDigest) -> Option<Arc<SandboxImage>> {
        self.resolved().get(digest).map(Arc::clone)
    }

    /// The folders of a new machine on these layers.
    pub(super) fn scratch(&self, layers: &Layers) -> Result<Scratch, VmError> {
        let scratch = match layers.uppermost() {
            Some(root) => self.store.scratch_over(&self.store.layout().root().join(root)),
            None => self.store.scratch(),
        };
        scratch.map_err(|error| VmError::Start {
            source: Arc::new(error),
        })
    }

    /// The layers of a new machine with the image and, where it has the owners that it was captured with, a workspace.
    /// `hides`: there is, or will be, a workspace in any case.
    pub(super) fn image_layers(
        &self,
        image: &SandboxImage,
        workspace: Option<&hm_store::Workspace>,
        hides: bool,
        network: Network,
    ) -> Result<Layers, VmError> {
        let machine = self.machine_layer(Some(image), hides, network)?;
        let above = workspace.map(|workspace| workspace.layer.clone());
        let below = image.resolved.layers.iter().rev().cloned();
        let lower = above.into_iter().chain([machine]).chain(below);
        Ok(Layers {
            lower: relative(self.store.layout().root(), lower),
            host: image.resolved.host,
            depth: 0,
            base: SnapshotBase::Image {
                digest: image.resolved.digest,
                image_layers: image.resolved.layers.clone(),
                tree: workspace.map(|workspace| workspace.tree),
            },
        })
    }

    /// The layers of a machine that boots from a snapshot; `hides` as for [`Shared::image_layers`].
    pub(super) fn snapshot_layers(
        &self,
        snapshot: &SnapshotRef,
        stack: Stack,
        hides: bool,
        network: Network,
    ) -> Result<Layers, VmError> {
        let root = self.store.layout().root();
        let Stack {
            image,
            tree,
            mut lower,
            depth,
        } = stack;
        let known = self.image(&image);
        let workspaces = self.store.layout().workspaces();
        let host = known.as_ref().map_or_else(
            || lower.iter().skip(depth).all(|layer| layer.starts_with(&workspaces)),
            |image| image.resolved.host,
        );
        let hides = hides || tree.is_some();
        // Below the workspace, which it must not hide.
        let is_workspace = |layer: &&PathBuf| layer.starts_with(&workspaces);
        let below = depth + usize::from(lower.get(depth).as_ref().is_some_and(is_workspace));
        lower.insert(below, self.machine_layer(known.as_deref(), hides, network)?);
        Ok(Layers {
            lower: relative(root, lower),
            host,
            depth,
            base: SnapshotBase::Snapshot(snapshot.clone()),
        })
    }

    /// What is to be mounted for a snapshot, with few enough layers.
    pub(super) async fn stack(self: &Arc<Self>, snapshot: &SnapshotRef) -> Result<Stack, VmError> {
        let stack = self.store.snapshots().stack(snapshot).map_err(snapshot_error)?;
        if stack.depth < FLATTEN_FIRST_OF_FEW {
            return Ok(stack);
        }
        let many_layers = self.launcher().await?.confinement().many_layers;
        if many_layers && stack.depth < FLATTEN_FIRST && stack.lower.len() < MAX_STACK {
            return Ok(stack);
        }
        let (shared, snapshot) = (Arc::clone(self), snapshot.clone());
        blocking(move || {
            shared.store.snapshots().flatten(&snapshot, u64::MAX)?;
            shared.store.snapshots().stack(&snapshot)
        })
        .await?
        .map_err(snapshot_error)
    }

    /// Merges the layers of a deep snapshot beside the build.
    pub(super) fn flatten_if_deep(self: &Arc<Self>, snapshot: &SnapshotRef, depth: usize) {
        if depth < FLATTEN_BESIDE || !depth.is_multiple_of(FLATTEN_BESIDE) {
            return;
        }
        let (shared, snapshot) = (Arc::clone(self), snapshot.clone());
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        while background.try_join_next().is_some() {}
        background.spawn_blocking(move || {
            // A snapshot that can't be merged is as good as before, and one that was released needs none.
            drop(shared.store.snapshots().flatten(&snapshot, FLATTEN_BYTES));
        });
    }

    /// Waits for what runs beside builds.
    pub(super) async fn settle(&self) {
        let mut background = {
            let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *background)
        };
        while background.join_next().await.is_some() {}
    }

    fn machine_layer(&self, image: Option<&SandboxImage>, hides: bool, network: Network) -> Result<PathBuf, VmError> {
        let identity = image.map_or_else(Identity::root, |image| image.identity.clone());
        let kind = LayerKind {
            network,
            etc: image.map(|image| image.etc.clone()).unwrap_or_default(),
            hides,
            uid: identity.uid,
            gid: identity.gid,
        };
        let layer = self.machine_layers.get(&self.store, kind);
        layer.map_err(|error| VmError::Start {
            source: Arc::new(error),
        })
    }

    fn resolved(&self) -> MutexGuard<'_, HashMap<ImageDigest, Arc<SandboxImage>>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn snapshot_error(error: SnapshotError) -> VmError {
    if let SnapshotError::Unknown(snapshot) = error {
        VmError::SnapshotMissing { snapshot }
    } else {
        VmError::Snapshot {
            source: Arc::new(error),
        }
    }
}

/// Runs something that may take long on a thread for such things.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, VmError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| VmError::Snapshot {
        source: Arc::new(error),
    })
}
