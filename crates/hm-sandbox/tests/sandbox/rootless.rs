//! What an ordinary user has.
//!
//! Tests named `user::` run only without root. As root, one test runs them all as another user.

use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use hm_sandbox::{ApplyOp, ApplyRequest, IdMap, Launcher, Network, Owner, SandboxError};
use libtest_mimic::Trial;

use crate::host::{host_launcher, host_machine};
use crate::limits;
use crate::other_user::{FIRST_SUBORDINATE, NOBODY, OtherUser, assert_passes, has_subordinate_ids};
use crate::support::{Bench, launcher, root_test, run, run_with, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("rootless::an_ordinary_user_passes", as_nobody),
        user_test("user::a_step_runs_and_leaves_its_changes", changes),
        user_test("user::namespaces_and_devices", namespaces),
        user_test("user::no_network_but_loopback", no_network),
        user_test("user::only_user_zero_exists", identity),
        user_test("user::apply", apply),
        user_test("user::limits_hold_for_processes", limits::of_processes),
        user_test("user::host_root", host),
        user_test("user::host_root_hides_what_is_private", host_hides),
        root_test("rootless::subordinate_ids_pass", with_subordinate_ids),
        subordinate_test("subordinate::other_users_exist", other_users),
        subordinate_test("subordinate::files_of_others_are_within_reach", others_files),
        subordinate_test("subordinate::the_process_stays_the_same_user", same_user),
    ]
}

/// Runs only in [`with_subordinate_ids`].
fn subordinate_test<F: Future<Output = ()>>(name: &'static str, body: impl FnOnce() -> F + Send + 'static) -> Trial {
    test(name, body).with_ignored_flag(!has_subordinate_ids())
}

async fn with_subordinate_ids() {
    let user = OtherUser::new();
    assert_passes(
        &mut user.with_subordinate_ids("subordinate::"),
        "3 passed; 0 failed; 0 ignored",
    );
}

async fn subordinate_launcher() -> Launcher {
    let launcher = launcher().await;
    assert_eq!(launcher.confinement().ids, IdMap::Subordinate { count: 65536 });
    launcher
}

async fn other_users() {
    let (bench, launcher) = (Bench::new(), subordinate_launcher().await);
    let machine = bench.machine();
    let command =
        "echo > /file; chown 42:43 /file; stat -c %u:%g /file; chmod 1777 /workspace; cat /proc/self/uid_map | wc -l";
    assert_eq!(run(&launcher, &machine, command).await.out(), "42:43\n2\n");
    let owner = fs::metadata(machine.upper.join("file")).unwrap();
    assert_eq!(
        (owner.uid(), owner.gid()),
        (FIRST_SUBORDINATE + 41, FIRST_SUBORDINATE + 42)
    );
    let done = run_with(
        &launcher,
        &machine,
        "id -u; id -G; echo > /workspace/x; echo > /dev/stdout",
        |request| {
            request.uid = 1000;
            request.gid = 1001;
            request.groups = vec![1002];
        },
    );
    assert_eq!(done.await.out(), "1000\n1001 1002\n\n");
}

async fn others_files() {
    let (bench, launcher) = (Bench::new(), subordinate_launcher().await);
    let machine = bench.machine();
    let command = "mkdir -p /a/b; touch /a/b/c; chown -R 42 /a; chmod 0 /a";
    run(&launcher, &machine, command).await.out();
    fs::write(machine.upper.join("a/b/c"), "read and written").unwrap();
    std::os::unix::fs::chown(machine.upper.join("a/b"), Some(FIRST_SUBORDINATE), Some(NOBODY)).unwrap();
    assert_eq!(
        run(&launcher, &machine, "stat -c %u:%g /a/b; cat /a/b/c").await.out(),
        "1:0\nread and written"
    );
    fs::remove_dir_all(&machine.upper).unwrap();
    // Files of users that nobody gave to the caller stay out of reach.
    assert!(fs::read("/etc/shadow").is_err());
}

async fn same_user() {
    assert_eq!(rustix::process::geteuid().as_raw(), NOBODY);
    let output = Command::new("sh")
        .args(["-c", "id -u; id -g; grep CapEff /proc/self/status"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{NOBODY}\n{NOBODY}\nCapEff:\t0000000000000000\n")
    );
    let bench = Bench::new();
    assert_eq!(fs::metadata(bench.path("")).unwrap().uid(), NOBODY);
}

fn user_test<F: Future<Output = ()>>(name: &'static str, body: impl FnOnce() -> F + Send + 'static) -> Trial {
    test(name, body).with_ignored_flag(rustix::process::geteuid().is_root())
}

async fn as_nobody() {
    let count = tests().iter().filter(|test| test.name().starts_with("user::")).count();
    assert_passes(
        &mut OtherUser::new().plain("user::"),
        &format!("{count} passed; 0 failed; 0 ignored"),
    );
}

async fn changes() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let first = bench.machine();
    assert_eq!(
        run(
            &launcher,
            &first,
            "id -u; echo one > /one; rm /etc/passwd; rm -r /root; mkdir /root"
        )
        .await
        .out(),
        "0\n"
    );
    let second = bench.machine_on(&[first.upper]);
    assert_eq!(
        run(&launcher, &second, "cat /one; ls -A /etc /root").await.out(),
        "one\n/etc:\n\n/root:\n"
    );
    let again = run(&launcher, &second, "cat /one").await;
    assert_eq!(again.out(), "one\n");
}

async fn namespaces() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "hostname; echo $$; echo x > /dev/null; head -c 2 /dev/zero | wc -c; test -c /dev/ptmx && echo ptmx; \
                   test -d /sys/kernel && echo sys; touch /sys/x 2>/dev/null || echo read-only; test -w /dev/shm && echo shm";
    assert_eq!(
        run(&launcher, &bench.machine(), command).await.out(),
        "machine\n2\n2\nptmx\nsys\nread-only\nshm\n"
    );
}

async fn no_network() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "ls /sys/class/net; cat /proc/net/dev | grep -c :";
    let done = run_with(&launcher, &bench.machine(), command, |request| {
        request.network = Network::None;
    })
    .await;
    assert_eq!(done.out(), "lo\n1\n");
}

async fn identity() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let done = run_with(&launcher, &bench.machine(), "true", |request| request.uid = 1000).await;
    let error = done.result.unwrap_err();
    assert!(
        matches!(error, SandboxError::Identity { uid: 1000, gid: 0, .. }),
        "{error:?}"
    );
}

async fn apply() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    run(&launcher, &machine, "mkdir -p /workspace/d; echo > /workspace/d/f")
        .await
        .out();
    fs::create_dir(bench.path("new")).unwrap();
    fs::write(bench.path("new/file"), "1").unwrap();
    let ops = vec![
        ApplyOp::Remove {
            path: "d/f".into(),
            dir: false,
            expected: None,
        },
        ApplyOp::Remove {
            path: "d".into(),
            dir: true,
            expected: None,
        },
        ApplyOp::Put {
            path: "file".into(),
            replaces: false,
            expected: None,
        },
    ];
    let owner = Owner { uid: 0, gid: 0 };
    let request = ApplyRequest {
        rootfs: machine.clone(),
        target: "/workspace".into(),
        source: bench.path("new"),
        owner,
        ops,
    };
    assert!(launcher.apply(&request).await.unwrap().conflicts.is_empty());
    assert_eq!(run(&launcher, &machine, "ls /workspace").await.out(), "file\n");
}

async fn host() {
    let bench = Bench::new();
    let tools = bench.path("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("tool"), "exposed\n").unwrap();
    let launcher = host_launcher(&bench, vec![], vec![tools.clone()]).await;
    let first = host_machine(&bench);
    let command = format!(
        "test -s /etc/passwd && echo users; echo one > /etc/one; echo x > /usr/local/bin/x; echo x > /top; rm /etc/os-release; \
         cat {}/tool; echo x 2>/dev/null >> /etc/passwd || echo others stay",
        tools.display()
    );
    assert_eq!(
        run(&launcher, &first, &command).await.out(),
        "users\nexposed\nothers stay\n"
    );
    for written in ["etc/one", "usr/local/bin/x", "top"] {
        assert!(first.upper.join(written).exists(), "{written}");
    }
    let mut second = bench.machine_on(&[first.upper]);
    second.lower.pop();
    second.host_root = true;
    let command = "cat /etc/one; ls /usr/local/bin/x /top; ls /etc/os-release 2>/dev/null; rm /etc/one; sh -c 'exit 0'";
    assert_eq!(
        run(&launcher, &second, command).await.out(),
        "one\n/top\n/usr/local/bin/x\n"
    );
    // A second command of the same machine.
    assert_eq!(run(&launcher, &second, "ls -d /etc/on*").await.stdout, "");
}

async fn host_hides() {
    let bench = Bench::new();
    let secret = bench.path("secret/inner");
    fs::create_dir_all(&secret).unwrap();
    let launcher = host_launcher(&bench, vec![secret, "/usr/share/doc".into()], vec![]).await;
    let command = "ls -A /root /home /mnt /media /srv /tmp /var/tmp | grep -v :; ls -A /run; ls /etc/shadow /etc/gshadow 2>/dev/null; \
         ls -d /usr/share/doc 2>/dev/null; stat -c '%a %n' /root /tmp /var/tmp /home /run /var /etc /";
    let done = run(&launcher, &host_machine(&bench), command).await;
    let lines: Vec<&str> = done.stdout.lines().filter(|line| !line.is_empty()).collect();
    let modes = [
        "700 /root",
        "1777 /tmp",
        "1777 /var/tmp",
        "755 /home",
        "755 /run",
        "755 /var",
        "755 /etc",
        "755 /",
    ];
    assert_eq!(lines, [&["lock"], &modes[..]].concat(), "{}", done.stderr);
}
