//! Roots that fuse-overlayfs serves to an ordinary user.
//!
//! As root, one test runs the others as a user with subordinate ids who may open `/dev/fuse`.

use std::fs;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use hm_sandbox::{ApplyOp, ApplyRequest, Launcher, LauncherSettings, Overlays, Owner, RootFs, SandboxError, Stage};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::host::{host_machine, host_view};
use crate::life::{children_of, pidfd, wait_for_end};
use crate::other_user::{OtherUser, assert_passes, has_subordinate_ids};
use crate::support::{Bench, launcher, root_test, run, start_until_ready, test};

const PROGRAM: &str = "/usr/bin/fuse-overlayfs";

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("rootless::roots_of_fuse_overlayfs_pass", all),
        fuse_test("fuse::a_layer_means_the_same_to_the_kernel", same_layers),
        fuse_test("fuse::layers_are_marked_as_the_kernel_marks_them", same_marks),
        fuse_test("fuse::what_was_not_written_down_is_an_error", lost),
        fuse_test("fuse::files_of_several_users", owners),
        fuse_test("fuse::host_root", host),
        fuse_test("fuse::apply", apply),
        fuse_test("fuse::odd_paths_are_layers", odd_paths),
        fuse_test("fuse::sixty_layers", many_layers),
        fuse_test("fuse::a_server_that_ends_is_an_error", ended_server),
        fuse_test("fuse::servers_die_with_a_killed_launcher", killed_launcher),
        fuse_test("fuse::nothing_is_left_after_a_step", nothing_left),
        fuse_test("fuse::it_is_not_used_where_the_kernel_mounts", kernel_first),
    ]
}

/// Tests for where the kernel has no overlays: see [`crate::old_kernel`].
pub(crate) fn refused_tests() -> Vec<Trial> {
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_refused = !file_systems.contains("\toverlay\n") && !rustix::process::geteuid().is_root();
    vec![
        test("refused::fuse_overlayfs_is_used", used_where_refused).with_ignored_flag(!is_refused),
        test("refused::the_lack_is_told", lack).with_ignored_flag(!is_refused),
    ]
}

fn fuse_test<F: Future<Output = ()>>(name: &'static str, body: impl FnOnce() -> F + Send + 'static) -> Trial {
    test(name, body).with_ignored_flag(!has_fuse())
}

async fn all() {
    assert!(
        Path::new(PROGRAM).exists(),
        "install fuse-overlayfs: apt-get install fuse-overlayfs"
    );
    let user = OtherUser::new();
    assert_passes(&mut with_device(&user, "fuse::"), "12 passed; 0 failed; 0 ignored");
}

/// As a user with subordinate ids who may open `/dev/fuse`, as is usual.
fn with_device(user: &OtherUser, filter: &str) -> Command {
    let script = "mkdir $1 && mount -t tmpfs none $1 && mknod $1/fuse c 10 229 && chmod 666 $1/fuse &&
                  mount --bind $1/fuse /dev/fuse && shift && exec \"$@\"";
    let mut command = user.prepared("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(user.program.with_file_name("dev"));
    let inner = user.with_subordinate_ids(filter);
    command.arg(inner.get_program()).args(inner.get_args());
    command
}

/// Whether this process is in [`with_device`].
fn has_fuse() -> bool {
    let device = fs::File::options().read(true).write(true).open("/dev/fuse");
    has_subordinate_ids() && device.is_ok()
}

async fn fuse_launcher(bench: &Bench) -> Launcher {
    let launcher = Launcher::start(LauncherSettings {
        overlays: Overlays::Fuse {
            fuse_overlayfs: PROGRAM.into(),
        },
        host_view: Some(host_view(bench)),
        ..LauncherSettings::default()
    });
    let launcher = launcher.await.unwrap();
    assert!(launcher.confinement().fuse_overlays);
    launcher
}

/// A layer that the kernel wrote, with things to change.
async fn ground(bench: &Bench) -> PathBuf {
    let machine = bench.machine();
    let command = "mkdir -p /w/d/e /w/d2 /w/o; echo 1 > /w/f; echo 2 > /w/g; echo 3 > /w/d/x; echo 4 > /w/d2/y
                   touch -d '2001-02-03 04:05:06' /w/o /w/d /w";
    run(&launcher().await, &machine, command).await.out();
    machine.upper
}

const LIST: &str =
    "cd /w; find . | sort | while read f; do stat -c '%N %a %u:%g %F %Y' $f; test -f $f && cat $f; done; true";
const CHANGE: &str =
    "cd /w; rm f; mv g h; rm -r d; mkdir d; echo n > d/n; rm -r d2; ln -s f d2; mkdir -p new/sub; ln h new/h
                      echo more >> o/q; mkfifo p; chmod 700 o; touch -d '2011-02-03 04:05:06' o d new";

async fn same_layers() {
    let (bench, fuse, kernel) = (Bench::new(), fuse_launcher(&Bench::new()).await, launcher().await);
    let ground = ground(&bench).await;
    let machine = bench.machine_on(std::slice::from_ref(&ground));
    let seen = run(&fuse, &machine, &format!("{CHANGE}; {LIST}")).await.out();
    assert!(seen.contains("./new/sub"), "{seen}");
    for (launcher, name) in [(&kernel, "kernel"), (&fuse, "fuse-overlayfs")] {
        let next = bench.machine_on(&[machine.upper.clone(), ground.clone()]);
        assert_eq!(run(launcher, &next, LIST).await.out(), seen, "{name}");
    }
}

async fn same_marks() {
    let (bench, fuse, kernel) = (Bench::new(), fuse_launcher(&Bench::new()).await, launcher().await);
    let ground = ground(&bench).await;
    let mut listings = Vec::new();
    for launcher in [&fuse, &kernel] {
        let machine = bench.machine_on(std::slice::from_ref(&ground));
        run(launcher, &machine, CHANGE).await.out();
        listings.push(listing(&machine.upper.join("w"), Path::new("")));
    }
    assert_eq!(listings[0], listings[1]);
    assert!(listings[0].iter().any(|line| line.contains("opaque")), "{listings:?}");
}

/// Entries with their kinds and the attributes that mean something.
fn listing(root: &Path, path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(root.join(path)).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = path.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        let mut value = [0; 1];
        let marked = rustix::fs::lgetxattr(root.join(&path), "user.overlay.opaque", &mut value).is_ok();
        let foreign = rustix::fs::lgetxattr(root.join(&path), "user.fuseoverlayfs.origin", &mut [0; 100]).is_ok();
        lines.push(format!(
            "{} {kind:?}{}{}",
            path.display(),
            if marked { " opaque" } else { "" },
            if foreign { " foreign" } else { "" }
        ));
        if kind.is_dir() {
            lines.extend(listing(root, &path));
        }
    }
    lines
}

async fn lost() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let base = bench.machine();
    run(&fuse, &base, "mkdir -p /w/a/a /w/b; echo 1 > /w/a/b; echo 2 > /w/b/a")
        .await
        .out();
    let machine = bench.machine_on(&[base.upper]);
    let result = run(&fuse, &machine, "cd /w; rm -rf a; mv -T b a; test -e a/b || exit 1")
        .await
        .result;
    assert!(
        matches!(&result, Err(SandboxError::Unrecorded { path }) if path.starts_with("/w/a")),
        "{result:?}"
    );
}

async fn owners() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let machine = bench.machine();
    let command = "echo > /f; chown 42:43 /f; stat -c %u:%g /f; mkdir -m 700 /closed; echo x > /closed/x; chown -R 7 /closed; chmod 0 /closed";
    assert_eq!(run(&fuse, &machine, command).await.out(), "42:43\n");
    let next = bench.machine_on(&[machine.upper]);
    assert_eq!(
        run(&fuse, &next, "stat -c '%a %u:%g' /f /closed; cat /closed/x")
            .await
            .out(),
        "644 42:43\n0 7:0\nx\n"
    );
}

async fn host() {
    let bench = Bench::new();
    let fuse = fuse_launcher(&bench).await;
    let first = host_machine(&bench);
    let command = "test -s /etc/passwd && echo users; echo one > /var/one; echo x > /usr/local/bin/x; rm /usr/lib/os-release; ls -A /root /tmp /home
                   mv /opt /moved 2>/dev/null; ls -d /opt";
    assert_eq!(
        run(&fuse, &first, command).await.out(),
        "users\n/home:\n\n/root:\n\n/tmp:\n/opt\n"
    );
    for launcher in [fuse, crate::host::host_launcher(&Bench::new(), vec![], vec![]).await] {
        let mut second = bench.machine_on(std::slice::from_ref(&first.upper));
        second.lower.pop();
        second.host_root = true;
        let command = "cat /var/one; ls /usr/local/bin/x; ls /usr/lib/os-release 2>/dev/null; ls -d /opt /moved 2>/dev/null; true";
        assert_eq!(
            run(&launcher, &second, command).await.out(),
            "one\n/usr/local/bin/x\n/opt\n"
        );
    }
}

async fn apply() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let first = bench.machine();
    run(&fuse, &first, "mkdir -p /workspace/d; echo > /workspace/d/f")
        .await
        .out();
    fs::create_dir(bench.path("new")).unwrap();
    fs::write(bench.path("new/file"), "1").unwrap();
    let machine = bench.machine_on(std::slice::from_ref(&first.upper));
    let remove = |path: &str, dir| ApplyOp::Remove {
        path: path.into(),
        dir,
        expected: None,
    };
    let put = ApplyOp::Put {
        path: "file".into(),
        replaces: false,
        expected: None,
    };
    let request = ApplyRequest {
        rootfs: machine.clone(),
        target: "/workspace".into(),
        source: bench.path("new"),
        owner: Owner { uid: 0, gid: 0 },
        ops: vec![remove("d/f", false), remove("d", true), put],
    };
    assert!(fuse.apply(&request).await.unwrap().conflicts.is_empty());
    let next = bench.machine_on(&[machine.upper, first.upper]);
    assert_eq!(run(&launcher().await, &next, "ls /workspace").await.out(), "file\n");
}

async fn odd_paths() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let layer = bench.path(r"a:b,c\d");
    fs::create_dir(&layer).unwrap();
    fs::write(layer.join("file"), "odd\n").unwrap();
    assert_eq!(
        run(&fuse, &bench.machine_on(&[layer]), "cat /file").await.out(),
        "odd\n"
    );
}

async fn many_layers() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let layers: Vec<PathBuf> = (0..60).map(|number| bench.path(format!("layer{number}"))).collect();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir(layer).unwrap();
        fs::write(layer.join(format!("f{number}")), "").unwrap();
    }
    assert_eq!(
        run(&fuse, &bench.machine_on(&layers), "ls / | grep -c '^f'")
            .await
            .out(),
        "60\n"
    );
}

/// The process that serves the only root of a launcher.
async fn server_of(launcher: &Launcher) -> i32 {
    let children = children_of(i32::try_from(launcher.pid().await.unwrap()).unwrap());
    let is_server =
        |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default() == "fuse-overlayfs\n";
    let servers: Vec<i32> = children.into_iter().filter(is_server).collect();
    assert_eq!(servers.len(), 1);
    servers[0]
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

async fn ended_server() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let machine = bench.machine();
    let (mut running, _output) = start_until_ready(&fuse, &machine, "echo ready; sleep 1000").await;
    kill(server_of(&fuse).await);
    let ended = running.wait().await;
    assert!(
        matches!(ended, Err(SandboxError::Setup { stage: Stage::Fuse, .. })),
        "{ended:?}"
    );
    run(&fuse, &bench.machine(), "true").await.out();
}

async fn killed_launcher() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let (mut running, _output) = start_until_ready(&fuse, &bench.machine(), "echo ready; sleep 1000").await;
    let pid = i32::try_from(fuse.pid().await.unwrap()).unwrap();
    server_of(&fuse).await;
    let children: Vec<OwnedFd> = children_of(pid).into_iter().map(pidfd).collect();
    assert_eq!(children.len(), 2);
    kill(pid);
    assert!(matches!(running.wait().await, Err(SandboxError::LauncherGone)));
    children.iter().for_each(wait_for_end);
}

async fn nothing_left() {
    let (bench, fuse) = (Bench::new(), fuse_launcher(&Bench::new()).await);
    let pid = i32::try_from(fuse.pid().await.unwrap()).unwrap();
    let descriptors = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = descriptors();
    for command in ["true", "exit 3", "echo x > /x; sleep 1000 & exit 0"] {
        run(&fuse, &bench.machine(), command).await.code();
    }
    let failed = run(&fuse, &bench.machine_on(&["none".into()]), "true").await;
    assert!(failed.result.is_err());
    assert_eq!((children_of(pid), descriptors()), (vec![], before));
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(!mounts.contains("fuse-overlayfs"), "{mounts}");
}

fn either(bench: &Bench, program: Option<&str>) -> LauncherSettings {
    LauncherSettings {
        overlays: Overlays::KernelElseFuse {
            trial: bench.path("trial"),
            fuse_overlayfs: program.map(PathBuf::from),
        },
        ..LauncherSettings::default()
    }
}

async fn kernel_first() {
    let bench = Bench::new();
    let launcher = Launcher::start(either(&bench, Some(PROGRAM))).await.unwrap();
    assert!(!launcher.confinement().fuse_overlays);
    assert!(!bench.path("trial").exists());
}

async fn used_where_refused() {
    let bench = Bench::new();
    let launcher = Launcher::start(either(&bench, Some(PROGRAM))).await.unwrap();
    assert!(launcher.confinement().fuse_overlays);
    let machine: RootFs = bench.machine();
    run(&launcher, &machine, "mkdir /d; echo 1 > /d/f; rm -r /etc")
        .await
        .out();
    let next = bench.machine_on(&[machine.upper]);
    assert_eq!(
        run(&launcher, &next, "cat /d/f; ls -d /etc 2>/dev/null || echo gone")
            .await
            .out(),
        "1\ngone\n"
    );
}

async fn lack() {
    let bench = Bench::new();
    let error = Launcher::start(either(&bench, None)).await.unwrap_err();
    assert!(matches!(error, SandboxError::OverlaysRefused { .. }), "{error:?}");
}
