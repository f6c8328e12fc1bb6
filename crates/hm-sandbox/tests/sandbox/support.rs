//! A small root file system and machines made of it.

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use hm_sandbox::{
    ExitReport, Launcher, LauncherSettings, Limits, Network, RootFs, Running, SandboxError, SpawnRequest,
};
use libtest_mimic::Trial;

pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// A test with a runtime of its own.
pub(crate) fn test<F: Future<Output = ()>>(name: &'static str, body: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(body());
        Ok(())
    })
}

/// Like [`test`], for what takes root on the host.
pub(crate) fn root_test<F: Future<Output = ()>>(
    name: &'static str,
    body: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let is_root = rustix::process::geteuid().is_root();
    test(name, body).with_ignored_flag(!is_root)
}

/// A folder with a base image and machines.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    machines: std::cell::Cell<u32>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hms-").tempdir().unwrap();
        let bench = Self {
            folder,
            machines: std::cell::Cell::new(0),
        };
        let bin = bench.path("image/usr/bin");
        fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink("usr/bin", bench.path("image/bin")).unwrap();
        fs::copy(BUSYBOX, bin.join("busybox")).unwrap();
        let installed = Command::new(BUSYBOX)
            .args(["--install", "-s"])
            .arg(&bin)
            .status()
            .unwrap();
        assert!(installed.success());
        for name in ["etc", "tmp", "root", "workspace"] {
            fs::create_dir(bench.path("image").join(name)).unwrap();
        }
        fs::write(bench.path("image/etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        fs::set_permissions(bench.path("image/tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        bench
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// A new machine on these layers (top first) and the image.
    pub(crate) fn machine_on(&self, layers: &[PathBuf]) -> RootFs {
        let number = self.machines.get();
        self.machines.set(number + 1);
        let folder = |name: &str| {
            let path = self.path(format!("m{number}/{name}"));
            fs::create_dir_all(&path).unwrap();
            path
        };
        let mut lower = layers.to_vec();
        lower.push(PathBuf::from("image"));
        RootFs {
            lower,
            lower_base: self.folder.path().to_owned(),
            host_root: false,
            upper: folder("u"),
            work: folder("w"),
            merged: folder("m"),
        }
    }

    pub(crate) fn machine(&self) -> RootFs {
        self.machine_on(&[])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The kernel leaves `work/work` without any permission, which stops the removal for all but root.
        for number in 0..self.machines.get() {
            let work = self.path(format!("m{number}/w/work"));
            if work.exists() {
                fs::set_permissions(work, fs::Permissions::from_mode(0o700)).unwrap();
            }
        }
    }
}

pub(crate) async fn launcher() -> Launcher {
    Launcher::start(LauncherSettings::default()).await.unwrap()
}

/// The two ends of an output stream.
pub(crate) fn pipe() -> (fs::File, OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (read.into(), write)
}

pub(crate) fn words(text: &[&str]) -> Vec<OsString> {
    text.iter().map(OsString::from).collect()
}

pub(crate) fn request(rootfs: &RootFs, command: &str, stdout: OwnedFd, stderr: OwnedFd) -> SpawnRequest {
    SpawnRequest {
        rootfs: rootfs.clone(),
        argv: words(&["sh", "-c", command]),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/".into(),
        uid: 0,
        gid: 0,
        groups: vec![],
        hostname: "machine".into(),
        network: Network::Host,
        stdout,
        stderr,
        stdin: None,
        binds: vec![],
        limits: Limits::default(),
    }
}

/// A step and what it wrote.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) result: Result<ExitReport, SandboxError>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn code(&self) -> i32 {
        self.result
            .as_ref()
            .unwrap_or_else(|error| panic!("{error}: {error:?}"))
            .status
            .code()
    }

    /// The output of a step that has to pass.
    pub(crate) fn out(self) -> String {
        assert_eq!((self.code(), self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }
}

/// Runs a step to its end. Outputs are read after it, so they have to fit into a pipe; that the reading ends shows that
/// nothing holds the streams any more.
pub(crate) async fn run_with(
    launcher: &Launcher,
    rootfs: &RootFs,
    command: &str,
    change: impl FnOnce(&mut SpawnRequest),
) -> Done {
    let (out_read, out_write) = pipe();
    let (err_read, err_write) = pipe();
    let mut request = request(rootfs, command, out_write, err_write);
    change(&mut request);
    let result = match launcher.spawn(request).await {
        Ok(mut running) => running.wait().await,
        Err(error) => Err(error),
    };
    Done {
        result,
        stdout: read_all(out_read),
        stderr: read_all(err_read),
    }
}

pub(crate) async fn run(launcher: &Launcher, rootfs: &RootFs, command: &str) -> Done {
    run_with(launcher, rootfs, command, |_| {}).await
}

/// Starts a step and waits until it wrote a line.
pub(crate) async fn start_until_ready(launcher: &Launcher, rootfs: &RootFs, command: &str) -> (Running, fs::File) {
    start_until_ready_with(launcher, rootfs, command, |_| {}).await
}

pub(crate) async fn start_until_ready_with(
    launcher: &Launcher,
    rootfs: &RootFs,
    command: &str,
    change: impl FnOnce(&mut SpawnRequest),
) -> (Running, fs::File) {
    let (mut out_read, out_write) = pipe();
    let err_write = fs::File::options().write(true).open("/dev/null").unwrap().into();
    let mut request = request(rootfs, command, out_write, err_write);
    change(&mut request);
    let running = launcher.spawn(request).await.unwrap();
    let (out_read, line) = tokio::task::spawn_blocking(move || {
        let mut line = Vec::new();
        let mut byte = [0];
        while out_read.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        (out_read, line)
    })
    .await
    .unwrap();
    assert_eq!(line, b"ready");
    (running, out_read)
}

pub(crate) fn read_all(mut file: fs::File) -> String {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
