//! Machines whose base is the host's own root.

use std::fs;
use std::path::PathBuf;

use hm_sandbox::{HostView, Launcher, LauncherSettings, RootFs};
use libtest_mimic::Trial;

use crate::support::{Bench, root_test, run};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("host::a_step_uses_the_hosts_programs", programs),
        root_test("host::private_folders_are_hidden", hidden),
        root_test("host::exposed_folders_are_read_only", exposed),
        root_test("host::layers_go_on_top", layers),
        root_test("host::a_missing_exposed_folder_is_named", missing),
    ]
}

pub(crate) async fn host_launcher(bench: &Bench, hidden: Vec<PathBuf>, expose: Vec<PathBuf>) -> Launcher {
    let host_view = HostView {
        hidden,
        expose,
        ..host_view(bench)
    };
    Launcher::start(LauncherSettings {
        host_view: Some(host_view),
        ..LauncherSettings::default()
    })
    .await
    .unwrap()
}

/// Nothing but what is always hidden.
pub(crate) fn host_view(bench: &Bench) -> HostView {
    HostView {
        dir: bench.path("view"),
        hidden: vec![],
        home: None,
        expose: vec![],
    }
}

pub(crate) fn host_machine(bench: &Bench) -> RootFs {
    let mut machine = bench.machine();
    machine.lower.clear();
    machine.host_root = true;
    machine
}

async fn programs() {
    let bench = Bench::new();
    let launcher = host_launcher(&bench, vec![], vec![]).await;
    let machine = host_machine(&bench);
    let command = "id -u; test -s /etc/passwd && echo users; echo new > /usr/bin/new-tool; rm /etc/os-release";
    assert_eq!(run(&launcher, &machine, command).await.out(), "0\nusers\n");
    assert!(machine.upper.join("usr/bin/new-tool").exists());
    assert!(!std::path::Path::new("/usr/bin/new-tool").exists());
    assert!(std::path::Path::new("/etc/os-release").exists());
    assert_eq!(
        fs::read_dir(bench.path("view")).unwrap().count(),
        0,
        "the view is mounted for steps only"
    );
}

async fn hidden() {
    let bench = Bench::new();
    let secret = bench.path("secret/inner");
    fs::create_dir_all(&secret).unwrap();
    let elsewhere = tempfile::Builder::new().prefix("hms-").tempdir_in("/opt").unwrap();
    let launcher = host_launcher(&bench, vec![secret, elsewhere.path().to_owned()], vec![]).await;
    let command = format!(
        "ls -A /root /home /mnt /media /srv /var/tmp | grep -v :; ls -A /tmp; ls -A /run; ls /etc/shadow /etc/gshadow 2>/dev/null; \
         ls -d {} 2>/dev/null; stat -c '%a %n' /root /tmp /var/tmp /home /run /var /etc /",
        elsewhere.path().display()
    );
    let done = run(&launcher, &host_machine(&bench), &command).await;
    let lines: Vec<&str> = done.stdout.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        lines,
        [
            "lock",
            "700 /root",
            "1777 /tmp",
            "1777 /var/tmp",
            "755 /home",
            "755 /run",
            "755 /var",
            "755 /etc",
            "755 /"
        ],
        "{}",
        done.stderr
    );
}

async fn exposed() {
    let bench = Bench::new();
    let tools = bench.path("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("tool"), "here\n").unwrap();
    let launcher = host_launcher(&bench, vec![], vec![tools.clone(), tools.join("tool")]).await;
    let command = format!(
        "cat {0}/tool; touch {0}/x 2>/dev/null || echo read-only; ls {1}",
        tools.display(),
        bench.path("").display()
    );
    assert_eq!(
        run(&launcher, &host_machine(&bench), &command).await.out(),
        "here\nread-only\ntools\n"
    );
}

async fn layers() {
    let bench = Bench::new();
    let launcher = host_launcher(&bench, vec![], vec![]).await;
    let first = host_machine(&bench);
    run(&launcher, &first, "echo one > /etc/one; mkdir -p /root/x")
        .await
        .out();
    let mut second = bench.machine_on(&[first.upper]);
    second.lower.pop();
    second.host_root = true;
    assert_eq!(
        run(&launcher, &second, "cat /etc/one; ls /root; sh -c 'exit 0'")
            .await
            .out(),
        "one\nx\n"
    );
}

async fn missing() {
    let bench = Bench::new();
    let host_view = Some(HostView {
        dir: bench.path("view"),
        hidden: vec![],
        home: None,
        expose: vec!["/no/such".into()],
    });
    let error = Launcher::start(LauncherSettings {
        host_view,
        ..LauncherSettings::default()
    })
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the sandbox could not make the view of the host (/no/such)"
    );
}
