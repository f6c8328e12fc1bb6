//! Engines of a test's own, for what can't be done to one that others use: one with a bridge, in a network namespace of
//! its own, and one whose disk is small.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::docker::Engine;
use crate::support::{Ir, Lab, Run};

/// Ends with this.
pub(crate) struct Ending(Child);

impl Ending {
    /// The command in the network of this one; it takes the place of what enters there.
    pub(crate) fn beside(&self, command: &Command) -> Command {
        let mut inside = Command::new("/usr/bin/nsenter");
        inside
            .args(["--net", &format!("--target={}", self.0.id())])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// Of what doesn't end with its input.
    pub(crate) fn end(mut self) {
        self.0.kill().unwrap();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // What waits for the end of its input ends in order.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

/// Starts a command that says something when it is ready: that.
pub(crate) fn ready(command: &mut Command) -> (Ending, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert!(!said.is_empty(), "{command:?} did not start");
    (Ending(child), said.trim().to_owned())
}

/// Starts an engine in namespaces that this text has made ready, with these flags.
pub(crate) fn engine(lab: &Lab, setup: &str, flags: &[&str]) -> (Ending, Engine) {
    let script = format!("{setup}\nexec \"$@\"");
    let with_docker = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/with-docker");
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "sh", "-ec", &script, "sh"])
        .arg(with_docker)
        .args(flags)
        .args(["sh", "-c", "echo $DOCKER_HOST; read end"]);
    let (ending, host) = ready(&mut command);
    (ending, Engine::at(lab, host))
}

pub(crate) fn is_possible() -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    is_root && Command::new("dockerd").arg("--version").output().is_ok()
}

/// Tells who asks (port 80), or has two meet: the first says where it is, the second is told, and the first waits until
/// somebody comes for a third time (port 81).
const SERVER: &str = r#"
import socket, sys, threading

def tell(listener):
    while True:
        connection, peer = listener.accept()
        connection.sendall((peer[0] + "\n").encode())
        connection.close()

def meet(listener):
    said = {}
    for _ in range(2):
        connection, _ = listener.accept()
        words = connection.makefile().readline().split()
        said[words[0]] = (connection, words[1:])
    server, where = said["server"]
    client, _ = said["client"]
    client.sendall((where[0] + "\n").encode())
    client.close()
    listener.accept()[0].close()
    server.close()

for port, serve in [(80, tell), (81, meet)]:
    threading.Thread(target=serve, args=(socket.create_server((sys.argv[1], port)),), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"#;

fn server(enter: &mut Command, address: &str) -> Ending {
    ready(enter.args(["python3", "-c", SERVER, address])).0
}

#[test]
fn isolated_steps_have_a_way_out_and_are_apart() {
    if !is_possible() {
        return;
    }
    let lab = Lab::new();
    let outside = server(Command::new("unshare").arg("--net"), "0.0.0.0");
    let outside_pid = outside.0.id();
    let setup = format!(
        "ip link set lo up
        ip link add out0 type veth peer name out1 netns {outside_pid}
        ip addr add 198.51.100.1/24 dev out0
        ip link set out0 up
        nsenter --net --target {outside_pid} ip addr add 198.51.100.2/24 dev out1
        nsenter --net --target {outside_pid} ip link set out1 up"
    );
    let (running, engine) = engine(&lab, &setup, &["--bridge"]);
    let inside = format!("--target={}", running.0.id());
    let _loopback = server(Command::new("nsenter").args(["--net", &inside]), "127.0.0.1");

    let own = "$(ip -4 addr show dev eth0 | sed -n 's,.*inet \\([0-9.]*\\)/.*,\\1,p')";
    let ir = Ir::new()
        .step(
            "out",
            "nc 198.51.100.2 80 < /dev/null; grep -c \"[[:space:]]$(hostname)\\$\" /etc/hosts",
        )
        .with("network", json!("isolated"))
        .step("loopback", "nc -w 2 127.0.0.1 80 < /dev/null || echo none")
        .with("network", json!("isolated"))
        .step("host", "nc 127.0.0.1 80 < /dev/null")
        .with("network", json!("host"))
        .step(
            "server",
            &format!("nc -l -p 7777 > /got & echo server {own} | nc 198.51.100.2 81; cat /got"),
        )
        .with("network", json!("isolated"))
        .step(
            "client",
            "where=$(echo client | nc 198.51.100.2 81)
            echo x | nc -w 2 $where 7777 && echo reached || echo apart
            nc 198.51.100.2 81 < /dev/null",
        )
        .with("network", json!("isolated"));
    let run = Run::of(
        &engine
            .command(&lab, &ir, &engine.image)
            .args(["--parallelism", "5"])
            .output()
            .unwrap(),
    )
    .passed();
    assert_eq!(
        run.stdout("out"),
        ["198.51.100.1", "1"],
        "the engine's address, and the step's own name"
    );
    assert!(!run.stderr.contains("no way out"), "{}", run.stderr);
    assert_eq!(run.stdout("loopback"), ["none"]);
    assert_eq!(run.stdout("host"), ["127.0.0.1"]);
    assert_eq!((run.stdout("client"), run.stdout("server")), (vec!["apart"], vec![]));
    let label = engine.label().unwrap();
    let networks = engine.docker(&["network", "ls", "-q", "--filter", &label]);
    assert_eq!(networks, Vec::<String>::new());
}

/// The rules that lead out come with it.
#[test]
fn an_engine_without_a_bridge_is_told_where_steps_are_isolated() {
    if !is_possible() {
        return;
    }
    let lab = Lab::new();
    let (_running, engine) = engine(&lab, "ip link set lo up", &[]);
    let run = engine.run(&lab, &Ir::new().step("s", "true")).passed();
    assert!(!run.stderr.contains("bridge"), "{}", run.stderr);
    let ir = Ir::new()
        .step("s", "true")
        .with("network", json!("isolated"))
        .step("t", "true")
        .with("network", json!("isolated"));
    let run = engine.run(&lab, &ir).passed();
    assert_eq!(run.stderr.matches("may have no way out").count(), 1, "{}", run.stderr);
}

#[test]
fn a_full_disk_of_the_engine_is_told_and_leaves_nothing() {
    if !is_possible() {
        return;
    }
    let lab = Lab::new();
    let data = lab.path("data");
    fs::create_dir(&data).unwrap();
    let data = data.to_str().unwrap();
    let setup = format!("mount -t tmpfs -o size=64m none {data}");
    let (_running, engine) = engine(&lab, &setup, &["--data", data]);

    let filling = Ir::new()
        .step("fills", "cat /dev/zero > /big")
        .with("allow_failure", json!(true))
        .step("kept", "head -c 35000000 /dev/zero > /big")
        .forever()
        .after("fills");
    let run = engine.run(&lab, &filling);
    assert_eq!(run.status("fills"), "failed", "{run:#?}");
    assert!(
        run.of_step("fills")
            .iter()
            .any(|event| event.to_string().contains("No space left")),
        "{run:#?}"
    );
    assert_full(&run, "kept");
    assert_eq!(engine.left()[0], 0);

    fs::File::create(lab.tree().join("big"))
        .unwrap()
        .set_len(100_000_000)
        .unwrap();
    let run = engine.run(&lab, &Ir::new().step("s", "true"));
    assert_full(&run, "s");
    assert_eq!(engine.left()[0], 0);

    fs::remove_file(lab.tree().join("big")).unwrap();
    engine.run(&lab, &Ir::new().step("s", "true")).passed();
    assert_eq!(engine.left(), crate::docker::ONLY_THE_TREE);
}

/// The step errored, and its end says why and what helps.
fn assert_full(run: &Run, step: &str) {
    assert_eq!((run.code, run.status(step)), (Some(1), "errored"), "{run:#?}");
    let end = run.end(step).to_string();
    assert!(
        end.contains("its disk is full") && end.contains("docker system df"),
        "{end}"
    );
}
