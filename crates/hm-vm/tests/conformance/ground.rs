//! What the bodies stand on: a fresh backend, a store and a tree to capture.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hm_plugin_protocol::{SnapshotRef, Stream};
use hm_store::workspace::CaptureRequest;
use hm_store::{Store, StoreSettings, SystemClock};
use hm_vm::{
    BootImage, ExecOutcome, ExecRequest, Limits, MachineRequest, MemoryBackend, Network, OutputSink, RootKind,
    SandboxBackend, SandboxSettings, StopToken, Vm, VmBackend, VmError, Workspace,
};
use tar::Archive;
use tempfile::TempDir;

use crate::engine;

/// A backend under test.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Memory,
    Sandbox,
    /// The sandbox with roots that are copies.
    Copies,
    Docker,
}

impl Kind {
    pub(crate) fn all() -> Vec<Self> {
        vec![Self::Memory, Self::Sandbox, Self::Copies, Self::Docker]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sandbox => "sandbox",
            Self::Copies => "copies",
            Self::Docker => "docker",
        }
    }
}

pub(crate) struct Ground {
    pub(crate) backend: Arc<dyn VmBackend>,
    pub(crate) image: BootImage,
    pub(crate) tree: Tree,
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

impl Ground {
    pub(crate) async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings {
            root: folder.path().join("store"),
            clock: Arc::new(SystemClock),
        };
        let store = Store::open(settings).unwrap();
        let tree = Tree {
            root: folder.path().join("tree"),
        };
        fs::create_dir(&tree.root).unwrap();
        let (backend, image): (Arc<dyn VmBackend>, String) = match kind {
            Kind::Memory => (Arc::new(MemoryBackend::new()), "base".into()),
            Kind::Sandbox => {
                let settings = SandboxSettings::new(store.clone());
                (Arc::new(SandboxBackend::new(settings)), "host".into())
            }
            Kind::Copies => {
                let settings = SandboxSettings {
                    roots: RootKind::Copies,
                    ..SandboxSettings::new(store.clone())
                };
                // `host` is read-only there.
                let image = folder.path().join("image");
                Archive::new(engine::archive().as_slice()).unpack(&image).unwrap();
                let image = format!("dir:{}", image.display());
                (Arc::new(SandboxBackend::new(settings)), image)
            }
            Kind::Docker => (Arc::new(engine::backend(&store).await), engine::image().await.into()),
        };
        let image = backend.resolve_image(&image).await.unwrap();
        Self {
            backend,
            image,
            tree,
            store,
            folder,
        }
    }

    pub(crate) async fn close(self) {
        self.backend.close().await.unwrap();
        if self.backend.name() == "docker" {
            engine::forget(self.store.layout().root()).await;
        }
        drop(self.backend);
        self.store.close().unwrap();
    }

    /// The tree as it stands.
    pub(crate) fn capture(&self) -> Arc<Workspace> {
        Arc::new(self.store.capture(&CaptureRequest::new(&self.tree.root)).unwrap())
    }

    /// A machine from the image, without a workspace.
    pub(crate) async fn boot(&self) -> Box<dyn Vm> {
        self.boot_with(None).await
    }

    pub(crate) async fn boot_with(&self, workspace: Option<Arc<Workspace>>) -> Box<dyn Vm> {
        let request = MachineRequest {
            workspace,
            network: Network::Host,
            ..MachineRequest::default()
        };
        self.backend.create(&self.image, &request).await.unwrap()
    }

    pub(crate) async fn restore(&self, snapshot: &SnapshotRef) -> Box<dyn Vm> {
        self.restore_with(snapshot, None).await
    }

    pub(crate) async fn restore_with(&self, from: &SnapshotRef, workspace: Option<Arc<Workspace>>) -> Box<dyn Vm> {
        let request = MachineRequest {
            workspace,
            network: Network::Host,
            ..MachineRequest::default()
        };
        self.backend.restore(from, &request).await.unwrap()
    }

    /// The last machine of a snapshot.
    pub(crate) async fn restore_last(&self, from: &SnapshotRef, workspace: Option<Arc<Workspace>>) -> Box<dyn Vm> {
        let request = MachineRequest {
            workspace,
            network: Network::Host,
            last: true,
            ..MachineRequest::default()
        };
        self.backend.restore(from, &request).await.unwrap()
    }

    pub(crate) async fn try_restore(&self, from: &SnapshotRef) -> Result<Box<dyn Vm>, VmError> {
        self.backend.restore(from, &MachineRequest::default()).await
    }

    /// A machine from the image runs a command and leaves a snapshot.
    pub(crate) async fn left_by(&self, cmd: &str) -> SnapshotRef {
        let mut machine = self.boot().await;
        let snapshot = left(&mut *machine, cmd).await;
        machine.close().await.unwrap();
        snapshot
    }
}

/// Runs a command that passes and takes a snapshot.
pub(crate) async fn left(machine: &mut dyn Vm, cmd: &str) -> SnapshotRef {
    says(machine, cmd, "").await;
    machine.snapshot().await.unwrap()
}

/// Runs a command that passes and writes just this.
pub(crate) async fn says(machine: &mut dyn Vm, cmd: &str, out: &str) {
    let ran = run(machine, cmd).await;
    assert_eq!(
        (ran.exit, ran.out_text(), ran.err_text()),
        (0, out.to_owned(), String::new()),
        "{cmd}"
    );
}

pub(crate) async fn run(machine: &mut dyn Vm, cmd: &str) -> Ran {
    run_request(machine, request(cmd)).await.unwrap()
}

pub(crate) async fn run_request(machine: &mut dyn Vm, mut request: ExecRequest) -> Result<Ran, VmError> {
    let kept = Arc::new(Kept::default());
    request.sink = Arc::clone(&kept) as _;
    let ExecOutcome {
        exit,
        stopped,
        out_of_memory: _,
        out_of_pids: _,
        usage: _,
    } = machine.exec(request).await?;
    let mut streams = kept.0.lock().unwrap();
    Ok(Ran {
        exit,
        stopped,
        out: std::mem::take(&mut streams.0),
        err: std::mem::take(&mut streams.1),
    })
}

/// What backends that hold limits are tried with.
pub(crate) fn limited() -> MachineRequest {
    MachineRequest {
        limits: Limits {
            cpus: Some(0.5),
            memory_mib: Some(48),
            pids: Some(16),
        },
        ..MachineRequest::default()
    }
}

/// A request whose output goes nowhere until it gets a sink.
pub(crate) fn request(cmd: &str) -> ExecRequest {
    ExecRequest {
        cmd: cmd.to_owned(),
        env: BTreeMap::new(),
        workdir: None,
        stop: StopToken::new(),
        grace: Duration::from_secs(10),
        sink: Arc::new(Kept::default()),
    }
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stopped: bool,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
}

impl Ran {
    pub(crate) fn out_text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub(crate) fn err_text(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }
}

/// Output and errors.
#[derive(Debug, Default)]
pub(crate) struct Kept(pub(crate) Mutex<(Vec<u8>, Vec<u8>)>);

impl OutputSink for Kept {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "a sink is never given nothing");
        let mut streams = self.0.lock().unwrap();
        match stream {
            Stream::Stdout => streams.0.extend_from_slice(bytes),
            Stream::Stderr => streams.1.extend_from_slice(bytes),
            Stream::Note => panic!("a backend writes no notes"),
        }
    }
}

/// A sink that asks the command to stop as soon as it has said something.
#[derive(Debug)]
pub(crate) struct StopAtOutput {
    pub(crate) stop: StopToken,
    pub(crate) at_once: bool,
}

impl OutputSink for StopAtOutput {
    fn write(&self, _stream: Stream, _bytes: &[u8]) {
        if self.at_once {
            self.stop.kill();
        } else {
            self.stop.stop();
        }
    }
}

/// A working tree to be captured.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
}

impl Tree {
    pub(crate) fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn folder(&self, path: &str) -> &Self {
        fs::create_dir_all(self.root.join(path)).unwrap();
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.root.join(path)).unwrap();
        self
    }

    pub(crate) fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.root.join(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> &Self {
        fs::rename(self.root.join(from), self.root.join(to)).unwrap();
        self
    }

    pub(crate) fn remove(&self, path: &str) -> &Self {
        let path = self.root.join(path);
        let is_folder = Path::new(&path).symlink_metadata().unwrap().is_dir();
        if is_folder {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }
}
