//! What a step sees and how it ends.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use hm_sandbox::{Bind, ExitStatus, Launcher, LauncherSettings, Network, SandboxError, Stage};
use libtest_mimic::Trial;

use crate::support::{Bench, launcher, root_test, run, run_with, words};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("steps::exit_codes_and_signals_are_told_apart", exit_codes),
        root_test("steps::output_streams_are_separate", streams),
        root_test("steps::changes_land_in_the_upper_folder", changes),
        root_test("steps::a_layer_is_seen_by_the_next_machine", chain),
        root_test("steps::three_hundred_layers", deep),
        root_test("steps::mount2_is_used_and_checked_where_asked", classic),
        root_test("steps::a_missing_command_is_its_own_error", missing_command),
        root_test("steps::a_missing_cwd_is_its_own_error", missing_cwd),
        root_test("steps::arguments_too_large", too_large),
        root_test("steps::a_large_environment_arrives", large_env),
        root_test("steps::the_environment_is_exact", exact_env),
        root_test("steps::no_descriptor_leaks_into_a_step", descriptors),
        root_test("steps::standard_input", stdin),
        root_test("steps::devices_and_file_systems", devices),
        root_test("steps::pid_one_reaps_orphans", orphans),
        root_test("steps::own_namespaces", namespaces),
        root_test("steps::no_network_but_loopback", no_network),
        root_test("steps::another_user", other_user),
        root_test("steps::binds", binds),
        root_test("steps::privileges_are_dropped", privileges),
        root_test("steps::fifty_at_once", fifty),
        root_test("steps::usage_is_measured", usage),
        root_test("steps::a_missing_layer_is_named", missing_layer),
        root_test("steps::invalid_requests_are_refused", invalid),
        root_test("steps::a_machine_is_used_twice", twice),
    ]
}

async fn exit_codes() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    for (command, status) in [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 3", ExitStatus::Code(3)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -9 $$", ExitStatus::Signal(9)),
        ("kill -TERM $$", ExitStatus::Signal(15)),
    ] {
        let done = run(&launcher, &bench.machine(), command).await;
        assert_eq!(done.result.unwrap().status, status, "{command}");
    }
    assert_eq!(ExitStatus::Signal(9).code(), 137);
    launcher.close().await.unwrap();
}

async fn streams() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run(
        &launcher,
        &bench.machine(),
        "echo out; echo err >&2; echo again > /dev/stdout",
    )
    .await;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\nagain\n", "err\n"));
    assert_eq!(done.code(), 0);
}

async fn changes() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let command =
        "echo new > /etc/new; rm /etc/passwd; mkdir -m 750 /etc/d; ln -s nowhere /etc/l; chmod 700 /tmp; umask";
    assert_eq!(run(&launcher, &machine, command).await.out(), "0022\n");
    let upper = &machine.upper;
    assert_eq!(fs::read_to_string(upper.join("etc/new")).unwrap(), "new\n");
    let whiteout = fs::symlink_metadata(upper.join("etc/passwd")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert_eq!(
        fs::metadata(upper.join("etc/d")).unwrap().permissions().mode() & 0o7777,
        0o750
    );
    assert_eq!(fs::read_link(upper.join("etc/l")).unwrap().to_str(), Some("nowhere"));
    assert_eq!(
        fs::metadata(upper.join("tmp")).unwrap().permissions().mode() & 0o7777,
        0o700
    );
    assert_eq!(
        fs::read_dir(&machine.merged).unwrap().count(),
        0,
        "nothing is mounted out here"
    );
}

async fn chain() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let first = bench.machine();
    run(&launcher, &first, "echo one > /one; rm /etc/passwd").await.out();
    let second = bench.machine_on(&[first.upper]);
    assert_eq!(run(&launcher, &second, "cat /one; ls /etc").await.out(), "one\n");
}

/// 300 layers, each with a file of its own, and the top one of a name they share.
fn many_layers(bench: &Bench, count: usize) -> Vec<std::path::PathBuf> {
    let mut layers: Vec<_> = (0..count)
        .map(|number| {
            let layer = bench.path(format!("l/aaaaaaaa-{number}"));
            fs::create_dir_all(&layer).unwrap();
            fs::write(layer.join(format!("f{number}")), "").unwrap();
            fs::write(layer.join("shared"), number.to_string()).unwrap();
            std::path::PathBuf::from(format!("l/aaaaaaaa-{number}"))
        })
        .collect();
    layers.reverse();
    layers
}

async fn deep() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine_on(&many_layers(&bench, 300));
    assert_eq!(
        run(&launcher, &machine, "ls -d /f* | wc -l; cat /shared").await.out(),
        "300\n299"
    );
}

async fn classic() {
    let bench = Bench::new();
    let launcher = Launcher::start(LauncherSettings {
        classic_mount: true,
        ..LauncherSettings::default()
    })
    .await
    .unwrap();
    let machine = bench.machine_on(&many_layers(&bench, 100));
    assert_eq!(
        run(&launcher, &machine, "ls -d /f* | wc -l; cat /shared").await.out(),
        "100\n99"
    );
    let too_deep = bench.machine_on(&many_layers(&bench, 400));
    let error = run(&launcher, &too_deep, "true").await.result.unwrap_err();
    assert!(
        matches!(
            error,
            SandboxError::Setup {
                stage: Stage::Overlay,
                ..
            }
        ),
        "{error:?}"
    );
}

async fn missing_command() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run_with(&launcher, &bench.machine(), "", |request| {
        request.argv = words(&["nope", "x"]);
    })
    .await;
    let error = done.result.unwrap_err();
    assert!(matches!(error, SandboxError::CommandNotFound { .. }), "{error:?}");
    assert_eq!(
        (error.to_string().as_str(), error.step_exit_code()),
        ("command not found in the machine: nope", Some(127))
    );
    let done = run_with(&launcher, &bench.machine(), "", |request| {
        request.argv = words(&["/etc/passwd"]);
    })
    .await;
    let error = done.result.unwrap_err();
    assert!(matches!(error, SandboxError::CommandNotExecutable { .. }), "{error:?}");
    assert_eq!(error.step_exit_code(), Some(126));
    assert_eq!(run(&launcher, &bench.machine(), "nope").await.code(), 127);
}

async fn missing_cwd() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run_with(&launcher, &bench.machine(), "true", |request| {
        request.cwd = "/no/such".into();
    })
    .await;
    let error = done.result.unwrap_err();
    assert_eq!(error.to_string(), "working directory can't be entered: /no/such");
    assert_eq!(error.step_exit_code(), Some(126));
    let done = run_with(&launcher, &bench.machine(), "pwd", |request| {
        request.cwd = "/etc".into();
    })
    .await;
    assert_eq!(done.out(), "/etc\n");
}

async fn too_large() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let huge = "x".repeat(200 * 1024);
    let done = run_with(&launcher, &bench.machine(), "true", |request| {
        request.env.push(("HUGE".into(), huge.into()));
    })
    .await;
    let error = done.result.unwrap_err();
    assert!(matches!(error, SandboxError::ArgumentsTooLarge { .. }), "{error:?}");
}

async fn large_env() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run_with(
        &launcher,
        &bench.machine(),
        "env | grep -c ^KEY_; echo ${#KEY_19}",
        |request| {
            request
                .env
                .extend((0..20).map(|n| (format!("KEY_{n}").into(), "v".repeat(50_000).into())));
        },
    )
    .await;
    assert_eq!(done.out(), "20\n50000\n");
}

async fn exact_env() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run_with(&launcher, &bench.machine(), "", |request| {
        request.argv = words(&["/bin/busybox", "env"]);
        request.env = vec![("A".into(), "1=2\n3".into()), ("EMPTY".into(), "".into())];
    })
    .await;
    assert_eq!(done.out(), "A=1=2\n3\nEMPTY=\n");
    let done = run(&launcher, &bench.machine(), "tr '\\0' '\\n' < /proc/1/environ").await;
    assert_eq!(
        done.stdout, "",
        "the launcher has no environment that a step could read"
    );
}

async fn descriptors() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run(
        &launcher,
        &bench.machine(),
        "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/1/exe || echo hidden",
    )
    .await;
    // 3 is what `ls` itself has open.
    assert_eq!(done.stdout, "0 1 2 3 hidden\n");
}

async fn stdin() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    assert_eq!(
        run(&launcher, &bench.machine(), "cat; readlink /proc/self/fd/0")
            .await
            .out(),
        "/dev/null\n"
    );
    let file = bench.path("input");
    fs::write(&file, "typed\n").unwrap();
    let input = fs::File::open(&file).unwrap();
    let done = run_with(&launcher, &bench.machine(), "cat", |request| {
        request.stdin = Some(input.into());
    })
    .await;
    assert_eq!(done.out(), "typed\n");
}

async fn devices() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; ls /dev; \
                   test -w /dev/shm && stat -c %a /dev/shm; test -c /dev/ptmx && echo ptmx; (: < /dev/tty) 2>&1; \
                   touch /sys/x 2>&1; ls /sys; test -e /proc/self/stat && echo proc; echo > /dev/full";
    let done = run(&launcher, &bench.machine(), command).await;
    assert_eq!(
        done.stdout,
        "3\n5\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n1777\nptmx\n\
         sh: can't open /dev/tty: No such device or address\ntouch: /sys/x: Read-only file system\nblock\nbus\nclass\n\
         dev\ndevices\nfirmware\nfs\nhypervisor\nkernel\nmodule\npower\nproc\n"
            .replace(
                "hypervisor\n",
                if std::path::Path::new("/sys/hypervisor").exists() {
                    "hypervisor\n"
                } else {
                    ""
                }
            )
    );
    assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
}

async fn orphans() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    // Forty grandchildren whose parents end first; none of them may be left as a zombie. The shell waits until it is
    // the only other process.
    let command =
        "for i in $(seq 40); do (true & ) ; done; while ps -o stat,ppid | grep -q '^Z.* 1$'; do :; done; echo clean";
    assert_eq!(run(&launcher, &bench.machine(), command).await.out(), "clean\n");
}

async fn namespaces() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "hostname; echo $$; for n in mnt pid uts ipc net; do readlink /proc/self/ns/$n; done; ps -o pid | wc -l; \
                   awk '{print $6, $7, $8}' /proc/self/stat";
    let out = run(&launcher, &bench.machine(), command).await.out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..2], ["machine", "2"]);
    for (line, name) in lines[2..].iter().zip(["mnt", "pid", "uts", "ipc", "net"]) {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_eq!(ours.to_str() == Some(line), name == "net", "{name}");
    }
    assert_eq!(lines[8], "2 0 -1", "a session of its own without a terminal");
}

async fn no_network() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "ls /sys/class/net; ping -c 1 -W 1 127.0.0.1 > /dev/null && echo up";
    let done = run_with(&launcher, &bench.machine(), command, |request| {
        request.network = Network::None;
    })
    .await;
    assert_eq!(done.out(), "lo\nup\n");
}

async fn other_user() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "id -u; id -g; id -G; echo x > /dev/stdout; touch /etc/x 2>/dev/null || echo refused; grep CapEff /proc/self/status";
    let done = run_with(&launcher, &bench.machine(), command, |request| {
        request.uid = 1234;
        request.gid = 1235;
        request.groups = vec![7, 8];
    })
    .await;
    assert_eq!(
        done.out(),
        "1234\n1235\n1235 7 8\nx\nrefused\nCapEff:\t0000000000000000\n"
    );
}

async fn binds() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    fs::create_dir(bench.path("shared")).unwrap();
    fs::write(bench.path("shared/a"), "a\n").unwrap();
    // A link in the machine can't lead a bind out of it.
    std::os::unix::fs::symlink(bench.path(""), machine.upper.join("out")).unwrap();
    let bind = |source: &str, target: &str, read_only| Bind {
        source: bench.path(source),
        target: target.into(),
        read_only,
    };
    let binds = vec![
        bind("shared", "/new/place", true),
        bind("shared/a", "/etc/file", false),
        bind("shared", "/rw", false),
    ];
    let command = "cat /new/place/a /etc/file; touch /new/place/b 2>&1; echo more >> /etc/file; touch /rw/c; \
                   awk '$5 == \"/new/place\" {print $6}' /proc/self/mountinfo";
    let done = run_with(&launcher, &machine, command, |request| request.binds = binds).await;
    let out = done.out();
    assert!(
        out.starts_with("a\na\ntouch: /new/place/b: Read-only file system\nro"),
        "{out}"
    );
    assert_eq!(fs::read_to_string(bench.path("shared/a")).unwrap(), "a\nmore\n");
    assert!(bench.path("shared/c").exists());
    let outside = vec![Bind {
        source: bench.path("shared"),
        target: "/out/shared".into(),
        read_only: true,
    }];
    let inside = run_with(&launcher, &machine, "true", |request| request.binds = outside).await;
    assert!(matches!(
        inside.result,
        Err(SandboxError::Setup { stage: Stage::Bind, .. })
    ));
    assert!(!bench.path("shared/shared").exists() && fs::read_dir(bench.path("shared")).unwrap().count() == 2);
    let missing = vec![bind("nothing", "/x", true)];
    let error = run_with(&launcher, &machine, "true", |request| request.binds = missing)
        .await
        .result
        .unwrap_err();
    assert!(matches!(&error, SandboxError::Setup { stage: Stage::Bind, path, .. } if path.ends_with("nothing")));
}

async fn privileges() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "grep -E 'CapBnd|CapEff|NoNewPrivs|SigBlk|SigIgn' /proc/self/status; mount -t tmpfs t /tmp 2>/dev/null || echo no mount; \
                   mknod /tmp/n b 254 0 2>/dev/null || echo no node; hostname x 2>/dev/null || echo no name; \
                   (echo 1 > /proc/sys/vm/overcommit_ratio) 2>/dev/null || echo no sysctl; echo 5 > /proc/self/oom_score_adj";
    let out = run(&launcher, &bench.machine(), command).await.out();
    assert_eq!(
        out,
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nCapEff:\t00000000a00425fb\nCapBnd:\t00000000a00425fb\n\
         NoNewPrivs:\t1\nno mount\nno node\nno name\nno sysctl\n"
    );
}

async fn fifty() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machines: Vec<_> = (0..50).map(|_| bench.machine()).collect();
    let mut steps = Vec::new();
    for (number, machine) in machines.iter().enumerate() {
        let (read, write) = crate::support::pipe();
        let (_, errors) = crate::support::pipe();
        let request = crate::support::request(machine, &format!("echo {number}; exit {number}"), write, errors);
        steps.push((launcher.spawn(request).await.unwrap(), read));
    }
    for (number, (mut running, read)) in steps.into_iter().enumerate() {
        let report = running.wait().await.unwrap();
        assert_eq!(report.status, ExitStatus::Code(i32::try_from(number).unwrap()));
        assert_eq!(crate::support::read_all(read), format!("{number}\n"));
        assert!(matches!(running.wait().await, Err(SandboxError::AlreadyEnded)));
    }
}

async fn usage() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run(
        &launcher,
        &bench.machine(),
        "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done",
    )
    .await;
    let usage = done.result.unwrap().usage;
    assert!(usage.cpu > std::time::Duration::from_millis(5), "{usage:?}");
    assert!(usage.max_rss_bytes > 100_000, "{usage:?}");
}

async fn missing_layer() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine_on(&["l/none".into()]);
    let error = run(&launcher, &machine, "true").await.result.unwrap_err();
    assert!(
        matches!(&error, SandboxError::Setup { stage: Stage::Layer, path, .. } if path.ends_with("l/none")),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "the sandbox could not use a layer (l/none)");
}

async fn invalid() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let nul = run_with(&launcher, &machine, "a\0b", |_| {}).await.result;
    assert!(matches!(nul, Err(SandboxError::InvalidRequest { .. })));
    let empty = run_with(&launcher, &machine, "", |request| request.argv.clear())
        .await
        .result;
    assert!(matches!(empty, Err(SandboxError::InvalidRequest { .. })));
    let relative = run_with(&launcher, &machine, "", |request| request.cwd = "x".into())
        .await
        .result;
    assert!(matches!(relative, Err(SandboxError::InvalidRequest { .. })));
    let host = run_with(&launcher, &machine, "", |request| request.rootfs.host_root = true)
        .await
        .result;
    assert!(matches!(host, Err(SandboxError::HostRootUnavailable { .. })));
}

async fn twice() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    run(&launcher, &machine, "echo 1 > /n").await.out();
    assert_eq!(run(&launcher, &machine, "cat /n; echo 2 > /n").await.out(), "1\n");
    assert_eq!(run(&launcher, &machine, "cat /n").await.out(), "2\n");
}
