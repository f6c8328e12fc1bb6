//! An engine behind ssh: a server of the test's own, in a network of its own, leads to the engine at `DOCKER_HOST`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::bad_input::assert_error;
use crate::docker::{Engine, ONLY_THE_TREE};
use crate::own_engine::{Ending, is_possible, ready};
use crate::support::{Ir, Lab, LiveRun, Run};

struct Server {
    lab: Lab,
    engine: Engine,
    /// Until the end.
    sshd: Option<Ending>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.sshd.take().unwrap().end();
    }
}

impl Server {
    /// Where there is an engine to lead to.
    fn start() -> Option<Self> {
        let lab = Lab::new();
        let engine = Engine::named(&lab).filter(|_| is_possible())?;
        let place = lab.tree().parent().unwrap().to_owned();
        let here = place.display();
        for key in ["host_key", "key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(place.join(key))
                .status();
            assert!(made.unwrap().success());
        }
        let public = |name: &str| fs::read_to_string(place.join(name)).unwrap();
        fs::write(
            place.join("known"),
            format!("127.0.0.1,[127.0.0.1]:23 {}", public("host_key.pub")),
        )
        .unwrap();
        let engine_host = &engine.host;
        fs::write(
            place.join("sshd_config"),
            format!(
                "ListenAddress 127.0.0.1:22\nListenAddress 127.0.0.1:23\nHostKey {here}/host_key\nPidFile none\n\
                 AuthorizedKeysFile {here}/key.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
                 SetEnv DOCKER_HOST={engine_host}\nMatch LocalPort 23\nSetEnv PATH=/none\n"
            ),
        )
        .unwrap();
        let key = format!("IdentityFile {here}/key");
        fs::write(
            place.join("ssh_config"),
            format!(
                "Host nobody\nIdentityFile {here}/host_key\nHost stranger\nUserKnownHostsFile none\nHost * !nobody\n{key}\nHost *\nIdentitiesOnly yes\nHostName 127.0.0.1\nUser root\n\
                 UserKnownHostsFile {here}/known\n"
            ),
        )
        .unwrap();
        fs::create_dir(place.join("bin")).unwrap();
        let ssh = place.join("bin/ssh");
        fs::write(
            &ssh,
            format!("#!/bin/sh\nexec /usr/bin/ssh -F {here}/ssh_config \"$@\"\n"),
        )
        .unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();

        let script = format!(
            "ip link set lo up; mount -t tmpfs none /run; mkdir /run/sshd; exec /usr/sbin/sshd -D -e -f {here}/sshd_config 2>&1"
        );
        let mut command = Command::new("unshare");
        let (sshd, _) = ready(command.args(["--net", "--mount", "sh", "-ec", &script]));
        Some(Self {
            lab,
            engine,
            sshd: Some(sshd),
        })
    }

    fn command(&self, ir: &Ir, address: &str) -> Command {
        self.at(self.engine.command(&self.lab, ir, &self.engine.image), address)
    }

    /// The command in the server's network, with the engine at this address.
    fn at(&self, mut command: Command, address: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap().into_string().unwrap();
        command
            .env("DOCKER_HOST", address)
            .env("PATH", format!("{}:{path}", self.lab.path("bin").display()));
        self.sshd.as_ref().unwrap().beside(&command)
    }

    fn run(&self, ir: &Ir, address: &str) -> Run {
        Run::of(&self.command(ir, address).output().unwrap())
    }

    /// Processes of the test's ssh.
    fn connections(&self) -> Vec<Pid> {
        let config = self.lab.path("ssh_config");
        let is_ours = |folder: &Path| {
            let words = fs::read(folder.join("cmdline")).unwrap_or_default();
            words
                .split(|byte| *byte == 0)
                .any(|word| word == config.as_os_str().as_encoded_bytes())
        };
        let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
        let ours = all.filter(|entry| is_ours(&entry.path()));
        let numbers = ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter_map(Pid::from_raw).collect()
    }

    /// They go as soon as the kernel gets to it.
    #[track_caller]
    fn assert_no_connections(&self) {
        let start = Instant::now();
        while !self.connections().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(30), "ssh is left behind");
            yield_now();
        }
    }
}

fn waiting() -> Ir {
    Ir::new().step("waits", "cat f; echo waiting; sleep 1000")
}

#[test]
fn an_engine_behind_ssh() {
    let Some(server) = Server::start() else { return };
    let lab = &server.lab;
    lab.write("f", "sent\n");
    let mut ir = Ir::new();
    for number in 0..12 {
        ir = ir.step(&format!("s{number}"), "cat f; seq 3000; printf 'no newline'");
    }
    let mut command = server.command(&ir, "ssh://far");
    let run = Run::of(&command.args(["--parallelism", "12"]).output().unwrap()).passed();
    for number in 0..12 {
        let said = run.stdout(&format!("s{number}"));
        assert_eq!((said.len(), said[0], said[3001]), (3002, "sent", "no newline"));
    }
    assert_eq!(server.engine.left(), ONLY_THE_TREE);
    server.assert_no_connections();

    let docker = lab.path("home/.docker/contexts/meta/0a");
    fs::create_dir_all(&docker).unwrap();
    let socket = server.engine.host.strip_prefix("unix://").unwrap();
    let host = format!("ssh://root@far:22{socket}");
    let meta = json!({ "Name": "behind", "Endpoints": { "docker": { "Host": host } } });
    fs::write(docker.join("meta.json"), meta.to_string()).unwrap();
    let mut command = server.command(&Ir::new().step("s", "cat f"), "");
    let run = Run::of(&command.env("DOCKER_CONTEXT", "behind").output().unwrap()).passed();
    assert_eq!(run.stdout("s"), ["sent"]);
}

#[test]
fn doctor_asks_an_engine_behind_ssh() {
    let Some(server) = Server::start() else { return };
    let asked = |address: &str| {
        let mut doctor = server.lab.hm();
        doctor.args(["doctor", "--format", "json"]);
        let output = server.at(doctor, address).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut rows = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.find(|row| row["what"] == "Docker engine").unwrap()
    };
    let found = asked("ssh://far");
    let is = found["is"].as_str().unwrap();
    assert_eq!(found["state"], "ok", "{is}");
    assert!(is.starts_with("ssh://far, version ") && is.contains(", linux/"), "{is}");
    server.assert_no_connections();
    let found = asked("ssh://stranger");
    assert_eq!(found["state"], "off");
    assert!(
        found["is"].to_string().contains("Host key verification failed"),
        "{found}"
    );
    assert!(
        found["fix"].to_string().contains("ssh -- stranger docker version"),
        "{found}"
    );
    server.assert_no_connections();
}

#[test]
fn no_ssh_outlives_hm() {
    let Some(server) = Server::start() else { return };
    server.lab.write("f", "sent\n");
    let start = || {
        let mut live = LiveRun::spawn(server.command(&waiting(), "ssh://far").process_group(0));
        live.wait_for_line("waiting");
        assert!(!server.connections().is_empty());
        live
    };
    // Ctrl-C in a terminal is for all processes of its group.
    let live = start();
    live.signal_group(Signal::INT);
    let run = live.finish();
    assert_eq!((run.code, run.status("waits")), (Some(130), "canceled"), "{run:#?}");
    assert_eq!(server.engine.left(), ONLY_THE_TREE);
    server.assert_no_connections();

    let live = start();
    live.signal(Signal::KILL);
    drop(live.finish());
    server.assert_no_connections();
    assert!(server.engine.left()[0] > 0, "its containers run on");
    server.run(&Ir::new().step("s", "true"), "ssh://far").passed();
    assert_eq!(server.engine.left(), ONLY_THE_TREE);
    server.assert_no_connections();
}

#[test]
fn an_ssh_that_dies_while_a_step_runs_is_named() {
    let Some(server) = Server::start() else { return };
    server.lab.write("f", "sent\n");
    let mut live = LiveRun::spawn(&mut server.command(&waiting(), "ssh://far"));
    live.wait_for_line("waiting");
    for ssh in server.connections() {
        kill_process(ssh, Signal::KILL).unwrap();
    }
    let run = live.finish();
    assert_eq!((run.code, run.status("waits")), (Some(1), "errored"), "{run:#?}");
    let end = run.end("waits");
    assert!(end["causes"].to_string().contains("ssh was killed"), "{end:#}");
    assert!(
        end["fixes"].to_string().contains("ssh -- far docker version"),
        "{end:#}"
    );
    // What it ran in went by another connection.
    assert_eq!(server.engine.left(), ONLY_THE_TREE);
    server.assert_no_connections();
}

#[test]
fn a_failure_of_ssh_is_told_in_its_own_words() {
    let Some(server) = Server::start() else { return };
    let any = Ir::new().step("s", "true");
    let check = "ssh -l root -p 22 -- nobody docker version";
    for (address, words) in [
        (
            "ssh://stranger",
            ["Host key verification failed", "ssh -- stranger docker version"],
        ),
        ("ssh://root@nobody:22", ["Permission denied", check]),
        ("ssh://far:1", ["Connection refused", "ssh -p 1 -- far docker version"]),
        (
            "ssh://far:23",
            ["docker: command not found", "install the command docker on far"],
        ),
        ("ssh://far/no/such.sock", ["/no/such.sock", "docker version"]),
    ] {
        let run = server.run(&any, address);
        let error = assert_error(&run, 4, "engine_ssh");
        for word in words {
            assert!(error.to_string().contains(word), "{address}: {error:#}");
        }
        server.assert_no_connections();
    }
    let none = server.lab.path("none");
    let mut command = server.command(&any, "ssh://far");
    let run = Run::of(&command.env("PATH", none).output().unwrap());
    assert!(format!("{run:?}").contains("openssh-client"), "{run:#?}");
}
