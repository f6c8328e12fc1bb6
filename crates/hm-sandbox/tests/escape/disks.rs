//! Other file systems of the host, beneath `/`, that an image `host` shows.
//!
//! Tests named `disk::` run only where one was mounted for them. Two tests do so in a mount namespace of their own and
//! run them, as root and as an ordinary user.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use hm_sandbox::{HostView, Launcher, LauncherSettings, RootFs};
use libtest_mimic::Trial;

use crate::attack::PLACE;
use crate::other_user::{NOBODY, OtherUser, assert_passes};
use crate::support::{Bench, Done, root_test, run, run_with, test, words};
use crate::world::bind;

const DISK: &str = "HM_TEST_DISK";
const HOME: &str = "HM_TEST_HOME";

pub(crate) fn tests() -> Vec<Trial> {
    let is_root = rustix::process::geteuid().is_root();
    let has_disk = std::env::var_os(DISK).is_some();
    let disk_tests = vec![
        test("disk::files_are_seen", files),
        test("disk::devices_can_not_be_opened", devices),
        test("disk::devices_of_exposed_folders_can_not_be_opened", exposed_devices),
        test("disk::devices_of_folders_of_a_step_can_not_be_opened", bound_devices),
        test("disk::services_can_not_be_called", services),
        test("disk::homes_elsewhere_are_hidden", homes),
        test("disk::what_is_exposed_of_a_hidden_home_is_seen", exposed),
    ];
    let mut tests: Vec<Trial> = disk_tests
        .into_iter()
        .map(|test| test.with_ignored_flag(!has_disk))
        .collect();
    // An ordinary user's view has the host's own mount.
    tests.push(test("disk::pipes_lead_nowhere", pipes).with_ignored_flag(!(has_disk && is_root)));
    tests.push(root_test("disks::attacks_fail_as_root", as_root));
    tests.push(root_test("disks::attacks_fail_as_an_ordinary_user", as_nobody));
    tests
}

/// A folder is the disk: it is bound on itself. There is a user with a home in a folder of services.
const SCRIPT: &str = "
set -e
mount --bind \"$1\" \"$1\"
mknod -m 666 \"$1\"/zero c 1 5
mknod -m 666 \"$1\"/caller/tools/zero c 1 5
{ cat /etc/passwd; echo someone:x:54321:54321::\"$2\":/bin/sh; } > \"$1\"/passwd
mount --bind \"$1\"/passwd /etc/passwd
shift 2
exec \"$@\" disk:: --test-threads 1
";

fn with_disk(prefix: &[&str]) {
    let folder = |place: &str| {
        let folder = tempfile::Builder::new().prefix("hms-").tempdir_in(place).unwrap();
        open_to_all(folder.path());
        folder
    };
    let (disk, home) = (folder("/opt"), folder("/var/lib"));
    let tools = disk.path().join("caller/tools");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("tool"), "a tool").unwrap();
    fs::write(disk.path().join("caller/secret"), "secret").unwrap();
    fs::write(disk.path().join("file"), "a file").unwrap();
    fs::write(home.path().join("secret"), "secret").unwrap();
    let user = OtherUser::new();
    let mut command = user.prepared("unshare");
    command
        .args(["--mount", "sh", "-c", SCRIPT, "sh"])
        .args([disk.path(), home.path()])
        .args(prefix)
        .arg(&user.program)
        .env(DISK, disk.path())
        .env(HOME, home.path());
    assert_passes(&mut command, " 0 failed");
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

async fn as_root() {
    with_disk(&[]);
}

async fn as_nobody() {
    let nobody = NOBODY.to_string();
    with_disk(&["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
}

/// A launcher whose caller lives on the disk and exposes a folder of that home.
struct Ground {
    _bench: Bench,
    disk: PathBuf,
    launcher: Launcher,
    machine: RootFs,
}

impl Ground {
    async fn new() -> Self {
        let bench = Bench::new();
        let disk = PathBuf::from(std::env::var_os(DISK).unwrap());
        let home = disk.join("caller");
        let launcher = Launcher::start(LauncherSettings {
            host_view: Some(HostView {
                dir: bench.path("view"),
                hidden: vec![],
                home: Some(home.clone()),
                expose: vec![home.join("tools")],
            }),
            ..LauncherSettings::default()
        });
        let launcher = launcher.await.unwrap();
        let mut machine = bench.machine();
        machine.lower.clear();
        machine.host_root = true;
        Self {
            _bench: bench,
            disk,
            launcher,
            machine,
        }
    }

    async fn shell(&self, command: &str) -> Done {
        run(&self.launcher, &self.machine, command).await
    }

    async fn attack(&self, kind: &str, argument: &Path) -> String {
        let program = std::env::current_exe().unwrap();
        let done = run_with(&self.launcher, &self.machine, "", |request| {
            request.argv = words(&[PLACE, kind]);
            request.argv.push(argument.into());
            request.binds = vec![bind(&program, Path::new(PLACE))];
        });
        done.await.out().trim_end().to_owned()
    }
}

async fn files() {
    let ground = Ground::new().await;
    let command = format!("cat {}/file", ground.disk.display());
    assert_eq!(ground.shell(&command).await.out(), "a file");
    ground.launcher.close().await.unwrap();
}

async fn devices() {
    let ground = Ground::new().await;
    assert_closed(&ground, &ground.disk.join("zero")).await;
    ground.launcher.close().await.unwrap();
}

async fn exposed_devices() {
    let ground = Ground::new().await;
    assert_closed(&ground, &ground.disk.join("caller/tools/zero")).await;
    ground.launcher.close().await.unwrap();
}

/// It is there, and can't be opened, though the host's user can.
async fn assert_closed(ground: &Ground, node: &Path) {
    fs::File::open(node).unwrap().read_exact(&mut [0]).unwrap();
    let command = format!("test -c {0} && ! head -c 1 {0} 2>/dev/null", node.display());
    assert_eq!(ground.shell(&command).await.out(), "");
}

async fn bound_devices() {
    let ground = Ground::new().await;
    for read_only in [true, false] {
        let command = "test -c /bound/zero && ! head -c 1 /bound/zero 2>/dev/null";
        let done = run_with(&ground.launcher, &ground.machine, command, |request| {
            let mut disk = bind(&ground.disk, Path::new("/bound"));
            disk.read_only = read_only;
            request.binds = vec![disk];
        });
        assert_eq!(done.await.out(), "");
    }
    ground.launcher.close().await.unwrap();
}

async fn services() {
    let socket = Path::new(&std::env::var_os(DISK).unwrap()).join("socket");
    let _service = UnixListener::bind(&socket).unwrap();
    open_to_all(&socket);
    UnixStream::connect(&socket).unwrap();
    let ground = Ground::new().await;
    assert_ne!(ground.attack("connect-to", &socket).await, "ok");
    fs::remove_file(&socket).unwrap();
    ground.launcher.close().await.unwrap();
}

async fn pipes() {
    let ground = Ground::new().await;
    let pipe = ground.disk.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut service = fs::File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&pipe)
        .unwrap();
    // It is opened for both, so that nobody has to wait for a reader.
    let command = format!("echo order 1<> {}", pipe.display());
    ground.shell(&command).await.out();
    assert!(service.read(&mut [0; 10]).is_err(), "the host's pipe was written to");
    service.write_all(b"x").unwrap();
    fs::remove_file(&pipe).unwrap();
    ground.launcher.close().await.unwrap();
}

async fn homes() {
    let ground = Ground::new().await;
    let home = PathBuf::from(std::env::var_os(HOME).unwrap());
    for secret in [home.join("secret"), ground.disk.join("caller/secret")] {
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        let command = format!("! cat {} 2>/dev/null", secret.display());
        assert_eq!(ground.shell(&command).await.out(), "");
    }
    ground.launcher.close().await.unwrap();
}

async fn exposed() {
    let ground = Ground::new().await;
    let command = format!("cat {0}/caller/tools/tool; ls {0}/caller", ground.disk.display());
    assert_eq!(ground.shell(&command).await.out(), "a tooltools\n");
    ground.launcher.close().await.unwrap();
}
