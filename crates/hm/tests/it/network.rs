//! Which network steps have.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Ir, Lab, LiveRun, Run};

const NAMESPACE: &str = "readlink /proc/self/ns/net";

fn of_host() -> String {
    fs::read_link("/proc/self/ns/net").unwrap().display().to_string()
}

/// Whether steps of this machine can have a network of their own: the note and the default are held against it.
fn has_slirp4netns() -> bool {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).any(|folder| folder.join("slirp4netns").exists()) && Path::new("/dev/net/tun").exists()
}

/// With the default of the machine.
fn command(lab: &Lab, ir: &Ir) -> Command {
    let mut command = lab.run_command(ir);
    command.env_remove("HM_SANDBOX__NETWORK");
    command
}

fn run(lab: &Lab, ir: &Ir) -> Run {
    Run::of(&command(lab, ir).output().unwrap())
}

fn without_slirp4netns(lab: &Lab, ir: &Ir) -> Command {
    let mut command = command(lab, ir);
    command.env("PATH", "/nowhere");
    command
}

#[test]
fn steps_have_networks_of_their_own_where_slirp4netns_is_installed() {
    assert!(has_slirp4netns(), "install slirp4netns: apt-get install slirp4netns");
    let lab = Lab::new();
    let run = run(&lab, &Ir::new().step("a", NAMESPACE).step("b", NAMESPACE).after("a")).passed();
    let [a, b] = ["a", "b"].map(|step| run.stdout(step)[0].to_owned());
    assert!(a != of_host() && b != of_host() && a != b, "{a} {b}");
    assert!(!run.stderr.contains("network"), "{}", run.stderr);
}

#[test]
fn without_slirp4netns_steps_share_the_machines_network_and_one_note_says_so() {
    let lab = Lab::new();
    let ir = Ir::new().step("a", NAMESPACE).step("b", NAMESPACE).after("a");
    let run = Run::of(&without_slirp4netns(&lab, &ir).output().unwrap()).passed();
    assert_eq!(
        (run.stdout("a"), run.stdout("b")),
        (vec![&*of_host()], vec![&*of_host()])
    );
    assert_eq!(run.stderr.matches("note:").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("apt-get install slirp4netns"), "{}", run.stderr);
    // Who chose it needs no note.
    let chosen = without_slirp4netns(&lab, &ir)
        .env("HM_SANDBOX__NETWORK", "host")
        .output();
    assert_eq!(Run::of(&chosen.unwrap()).passed().stderr, "");
}

#[test]
fn an_isolated_network_that_was_asked_for_is_not_replaced() {
    let lab = Lab::new();
    let configured = without_slirp4netns(&lab, &Ir::new().step("a", "true"))
        .env("HM_SANDBOX__NETWORK", "isolated")
        .output()
        .unwrap();
    let run = Run::of(&configured);
    assert_eq!(
        (run.code, run.events[0]["code"].as_str()),
        (Some(4), Some("network_unavailable"))
    );
    let ir = Ir::new().step("a", "true").with("network", json!("isolated"));
    let run = Run::of(&without_slirp4netns(&lab, &ir).output().unwrap());
    assert_eq!(
        (run.code, run.events[0]["code"].as_str()),
        (Some(7), Some("feature_unsupported"))
    );
    assert!(
        run.events[0]["fixes"]
            .to_string()
            .contains("apt-get install slirp4netns"),
        "{run:#?}"
    );
}

#[test]
fn without_the_driver_the_fix_is_to_load_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    let ir = Ir::new().step("a", "true").with("network", json!("isolated"));
    let plain = command(&lab, &ir);
    let mut hidden = with_mounts(&plain, "mount -t tmpfs none /dev/net");
    let run = Run::of(&hidden.output().unwrap());
    let fixes = run.events[0]["fixes"].to_string();
    assert!(fixes.contains("modprobe tun") && !fixes.contains("apt-get"), "{run:#?}");
}

/// The command in a mount namespace where this has been done.
fn with_mounts(plain: &Command, mounts: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &format!("{mounts} && exec \"$@\""), "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = plain.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

const NAMES: &str = "getent hosts $(hostname); cat /etc/hosts";

#[test]
fn a_step_knows_its_own_name_and_those_of_its_network_only() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("own", NAMES)
        .with("image", json!("host"))
        .step("host", NAMES)
        .with("image", json!("host"))
        .with("network", json!("host"));
    let run = run(&lab, &ir).passed();
    let own = run.stdout("own");
    assert_eq!(own[0].split_whitespace().collect::<Vec<_>>(), ["127.0.1.1", "hm"]);
    assert_eq!(own[1..].len(), 7, "{own:#?}");
    assert_eq!((own[1], own[7]), ("127.0.0.1\tlocalhost", "127.0.1.1\thm"));
    let of_host = fs::read_to_string("/etc/hosts").unwrap();
    let expected: Vec<&str> = of_host.lines().chain(["127.0.1.1\thm"]).collect();
    assert_eq!(run.stdout("host")[1..], expected);
}

/// As in a container, where an engine has mounts in the places of these files.
#[test]
fn name_service_files_that_are_mounts_are_the_machines_own() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    fs::write(lab.path("hosts"), "10.9.8.7 of-the-container\n").unwrap();
    fs::write(lab.path("resolv.conf"), "nameserver 127.0.0.11\n").unwrap();
    let read = "cat /etc/resolv.conf /etc/hosts; echo >> /etc/hosts";
    let ir = Ir::new()
        .step("own", read)
        .with("image", json!("host"))
        .step("host", read)
        .with("image", json!("host"))
        .with("network", json!("host"));
    let [hosts, resolvers] = ["hosts", "resolv.conf"].map(|name| lab.path(name).display().to_string());
    for mounts in [
        format!("mount --bind {hosts} /etc/hosts && mount --bind {resolvers} /etc/resolv.conf"),
        // Not on a disk.
        format!(
            "mount -t tmpfs none /mnt && cp {hosts} {resolvers} /mnt && mount --bind /mnt/hosts /etc/hosts && \
             mount --bind /mnt/resolv.conf /etc/resolv.conf"
        ),
    ] {
        let run = Run::of(&with_mounts(&command(&lab, &ir), &mounts).output().unwrap()).passed();
        assert_eq!(
            run.stdout("host"),
            ["nameserver 127.0.0.11", "10.9.8.7 of-the-container", "127.0.1.1\thm"]
        );
        let own = run.stdout("own");
        assert_eq!((own[0], own[1]), ("nameserver 198.19.255.3", "127.0.0.1\tlocalhost"));
        assert!(!own.join("\n").contains("of-the-container"), "{own:#?}");
    }
}

/// A folder for `PATH` with a slirp4netns that does nothing but this.
fn broken_slirp4netns(lab: &Lab) -> PathBuf {
    let folder = lab.path("broken");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("slirp4netns"),
        "#!/bin/sh\necho no luck today >&2; exit 1\n",
    )
    .unwrap();
    fs::set_permissions(folder.join("slirp4netns"), fs::Permissions::from_mode(0o755)).unwrap();
    // The program is started as nobody.
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_slirp4netns_that_fails_is_an_error_of_the_step() {
    let lab = Lab::new();
    let mut command = command(&lab, &Ir::new().step("a", "true"));
    let run = Run::of(&command.env("PATH", broken_slirp4netns(&lab)).output().unwrap());
    assert_eq!((run.code, run.status("a")), (Some(1), "errored"));
    let causes = run.end("a")["causes"].to_string();
    assert!(
        causes.contains("\\\"isolated\\\"") && causes.contains("slirp4netns: no luck today"),
        "{causes}"
    );
}

#[test]
fn a_result_of_one_network_is_none_of_another() {
    let lab = Lab::new();
    let ir = Ir::new().step("a", NAMESPACE).forever();
    let own = run(&lab, &ir).passed().stdout("a")[0].to_owned();
    assert_eq!(run(&lab, &ir).passed().status("a"), "cached");
    let fallback = Run::of(&without_slirp4netns(&lab, &ir).output().unwrap()).passed();
    assert_eq!(
        (fallback.status("a"), fallback.stdout("a")),
        ("passed", vec![&*of_host()])
    );
    let asked = Ir::new()
        .step("a", NAMESPACE)
        .forever()
        .with("network", json!("isolated"));
    let same = run(&lab, &asked).passed();
    assert_eq!(
        (same.status("a"), same.stdout("a")),
        ("cached", vec![&*own]),
        "it is the same as the default"
    );
    let chosen = lab
        .run_command(&ir)
        .env("HM_SANDBOX__NETWORK", "host")
        .output()
        .unwrap();
    assert_eq!(Run::of(&chosen).passed().status("a"), "cached", "as the fallback");
}

#[test]
fn a_killed_build_leaves_no_slirp4netns() {
    let lab = Lab::new();
    // Another name tells it from the slirp4netns of other tests.
    let folder = lab.path("named");
    fs::create_dir(&folder).unwrap();
    let slirp4netns = Command::new("sh")
        .args(["-c", "command -v slirp4netns"])
        .output()
        .unwrap();
    let slirp4netns = String::from_utf8(slirp4netns.stdout).unwrap();
    symlink(slirp4netns.trim(), folder.join("slirp4netns")).unwrap();
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let named = folder.join("slirp4netns").display().to_string();
    let mut command = command(&lab, &Ir::new().step("a", "echo ready; sleep 1000"));
    command.env("PATH", &folder);
    let mut live = LiveRun::spawn(&mut command);
    live.wait_for_line("ready");
    let running = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| line.starts_with(named.as_bytes())).count()
    };
    assert_eq!(running(), 1);
    live.child.kill().unwrap();
    live.child.wait().unwrap();
    // The launcher ends everything when it sees the end of its owner.
    let began = std::time::Instant::now();
    while running() > 0 {
        assert!(began.elapsed().as_secs() < 60, "it still runs");
        std::thread::yield_now();
    }
}
