//! A place to run `hm` in: a store, a home, a working tree and a tiny root file system of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Everything that one test touches.
pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    /// An empty working tree, an empty store, and a root file system made of busybox.
    pub(crate) fn new() -> Self {
        let lab = Self {
            folder: tempfile::Builder::new().prefix("hm-it-").tempdir().unwrap(),
        };
        for folder in ["home", "tree"] {
            fs::create_dir(lab.path(folder)).unwrap();
        }
        make_busybox_root(&lab.root());
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The working tree.
    pub(crate) fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    /// The root file system that steps boot from.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file of the working tree, with the folders above it.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.tree().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// `hm` with nothing of the caller's settings.
    pub(crate) fn hm(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hm"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("HM_STORE__DIR", self.store())
            // Steps speak with their test on loopback.
            .env("HM_SANDBOX__NETWORK", "host")
            .current_dir(self.tree())
            .stdin(Stdio::null());
        command
    }

    /// `hm run` of a document on the working tree, events as JSON.
    pub(crate) fn run_command(&self, ir: &Ir) -> Command {
        let file = self.path("pipeline.json");
        fs::write(&file, ir.render(&format!("dir:{}", self.root().display()))).unwrap();
        let mut command = self.hm();
        command.args(["run", "--format", "json", "--ir"]).arg(file);
        command
    }

    pub(crate) fn run(&self, ir: &Ir) -> Run {
        Run::of(&self.run_command(ir).output().unwrap())
    }

    pub(crate) fn run_with(&self, ir: &Ir, flags: &[&str]) -> Run {
        Run::of(&self.run_command(ir).args(flags).output().unwrap())
    }

    /// Starts a run whose events are read one by one.
    pub(crate) fn start(&self, ir: &Ir, flags: &[&str]) -> LiveRun {
        LiveRun::spawn(self.run_command(ir).args(flags))
    }
}

/// A root file system of one static program and the folders that a Linux system has.
fn make_busybox_root(root: &Path) {
    for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/bin", "var"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let busybox = Path::new("/bin/busybox");
    assert!(
        busybox.exists(),
        "install busybox-static: apt-get install busybox-static"
    );
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    let names = Command::new(busybox).arg("--list").output().unwrap().stdout;
    for name in String::from_utf8(names)
        .unwrap()
        .lines()
        .filter(|name| *name != "busybox")
    {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
}

/// A pipeline document under construction.
pub(crate) struct Ir {
    nodes: Vec<Value>,
    edges: Vec<Value>,
    places: BTreeMap<String, usize>,
}

impl Ir {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            edges: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// Adds a step that runs `cmd`.
    pub(crate) fn step(mut self, key: &str, cmd: &str) -> Self {
        self.places.insert(key.to_owned(), self.nodes.len());
        self.nodes.push(json!({"step": {"key": key, "cmd": cmd}, "env": {}}));
        self
    }

    /// Sets a member of the last step.
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.nodes.last_mut().unwrap()["step"][member] = value;
        self
    }

    /// Sets a variable of the last node.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.nodes.last_mut().unwrap()["env"][name] = json!(value);
        self
    }

    pub(crate) fn forever(self) -> Self {
        self.with("cache", json!({"policy": "forever", "env_keys": []}))
    }

    pub(crate) fn on_change(self, paths: &[&str]) -> Self {
        self.with("cache", json!({"policy": "on_change", "paths": paths}))
    }

    /// The last step boots from that one's snapshot.
    pub(crate) fn builds_in(self, parent: &str) -> Self {
        self.edge(parent, "builds_in")
    }

    /// The last step waits for that one.
    pub(crate) fn after(self, earlier: &str) -> Self {
        self.edge(earlier, "depends_on")
    }

    fn edge(mut self, from: &str, kind: &str) -> Self {
        self.edges.push(json!([self.places[from], self.nodes.len() - 1, kind]));
        self
    }

    pub(crate) fn render(&self, default_image: &str) -> String {
        json!({
            "version": "0",
            "default_image": default_image,
            "graph": {
                "nodes": self.nodes,
                "node_holes": [],
                "edge_property": "directed",
                "edges": self.edges,
            },
        })
        .to_string()
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: &Output) -> Self {
        let stdout = String::from_utf8(output.stdout.clone()).expect("events are UTF-8");
        Self {
            code: output.status.code(),
            events: stdout
                .lines()
                .map(|line| serde_json::from_str(line).expect(line))
                .collect(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn kinds(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["kind"] == kind).collect()
    }

    fn id_of(&self, key: &str) -> &Value {
        let queued = self
            .events
            .iter()
            .find(|event| event["kind"] == "step_queued" && event["key"] == key);
        &queued.unwrap_or_else(|| panic!("no step {key} in {self:#?}"))["step_id"]
    }

    /// The events of one step, in order.
    pub(crate) fn of_step(&self, key: &str) -> Vec<&Value> {
        let id = self.id_of(key);
        self.events.iter().filter(|event| event["step_id"] == *id).collect()
    }

    /// The one terminal event of a step.
    pub(crate) fn end(&self, key: &str) -> &Value {
        let terminal = |event: &&Value| event["kind"] == "step_end" || event["kind"] == "step_skipped";
        let ends: Vec<&Value> = self.of_step(key).into_iter().filter(terminal).collect();
        assert_eq!(ends.len(), 1, "one terminal event for {key} in {self:#?}");
        ends[0]
    }

    /// How a step ended: the word of `step_end`, or `skipped`.
    pub(crate) fn status(&self, key: &str) -> &str {
        let end = self.end(key);
        if end["kind"] == "step_skipped" {
            "skipped"
        } else {
            end["status"].as_str().unwrap()
        }
    }

    /// What the command of a step printed on standard output, a line each.
    pub(crate) fn stdout(&self, key: &str) -> Vec<&str> {
        self.lines(key, "stdout")
    }

    pub(crate) fn notes(&self, key: &str) -> Vec<&str> {
        self.lines(key, "note")
    }

    fn lines(&self, key: &str, stream: &str) -> Vec<&str> {
        let events = self.of_step(key).into_iter();
        events
            .filter(|event| event["kind"] == "step_log" && event["stream"] == stream)
            .map(|event| event["line"].as_str().unwrap())
            .collect()
    }

    /// Asserts a passed build and gives it back.
    #[track_caller]
    pub(crate) fn passed(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

/// A run that is watched while it goes on.
pub(crate) struct LiveRun {
    pub(crate) child: Child,
    events: BufReader<ChildStdout>,
    seen: Vec<Value>,
}

impl LiveRun {
    /// Starts a command whose output is events.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            events,
            seen: Vec::new(),
        }
    }

    /// Reads on until an event is as wanted.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> &Value {
        loop {
            let mut line = String::new();
            let length = self.events.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "the run ended first: {:#?}", self.seen);
            self.seen.push(serde_json::from_str(&line).unwrap());
            if wanted(&self.seen[self.seen.len() - 1]) {
                return &self.seen[self.seen.len() - 1];
            }
        }
    }

    /// Reads on until some step prints that line.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, line: &str) {
        self.wait_for(|event| event["kind"] == "step_log" && event["line"] == line);
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// As a terminal does; the process leads its group.
    pub(crate) fn signal_group(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(pid, signal).unwrap();
    }

    /// Waits until SIGINT, SIGTERM and SIGHUP no longer end the process by themselves (proc(5), `SigCgt`).
    pub(crate) fn wait_until_signals_are_caught(&self) {
        let status = format!("/proc/{}/status", self.child.id());
        let is_caught = |mask: &str| u64::from_str_radix(mask.trim(), 16).unwrap() & 0x4003 == 0x4003;
        while !fs::read_to_string(&status)
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .is_some_and(is_caught)
        {
            std::thread::yield_now();
        }
    }

    /// Reads the rest and waits for the end.
    pub(crate) fn finish(mut self) -> Run {
        let mut stdout = String::new();
        self.events.read_to_string(&mut stdout).unwrap();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        self.seen.extend(
            stdout
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect(line)),
        );
        Run {
            code: status.code(),
            events: self.seen,
            stderr,
        }
    }
}

/// Control groups of the test's own (version 1, as root), so that groups of others do not count.
pub(crate) struct Groups {
    places: Vec<PathBuf>,
}

impl Groups {
    /// None where the hierarchies that hold limits can't all be written to.
    pub(crate) fn new() -> Option<Self> {
        let name = format!("hmt-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
        let mut groups = Self { places: Vec::new() };
        for controller in ["cpu", "memory", "pids", "cpuacct"] {
            let hierarchy = Path::new("/sys/fs/cgroup").join(controller);
            let place = hierarchy.join(&name);
            if !hierarchy.join("tasks").exists() || fs::create_dir(&place).is_err() {
                return None;
            }
            groups.places.push(place);
        }
        Some(groups)
    }

    /// The command, in these groups.
    pub(crate) fn enter(&self, command: &Command) -> Command {
        let script =
            "while [ \"$1\" != -- ]; do echo $$ > \"$1/cgroup.procs\" || exit 99; shift; done; shift; exec \"$@\"";
        let mut entered = Command::new("sh");
        entered.args(["-c", script, "sh"]).args(&self.places).arg("--");
        entered.arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            entered.env(name, value.unwrap());
        }
        entered
            .current_dir(command.get_current_dir().unwrap())
            .stdin(Stdio::null());
        entered
    }

    /// Those that were made in them.
    pub(crate) fn made(&self) -> Vec<PathBuf> {
        let entries = self.places.iter().flat_map(|place| fs::read_dir(place).unwrap());
        let folders = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| entry.path()).collect()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for place in &self.places {
            // What a failed test left in it is seen by who looks.
            let _stays = fs::remove_dir(place);
        }
    }
}

/// A door in front of steps: they wait until the test opens it.
pub(crate) struct Door {
    listener: std::net::TcpListener,
}

impl Door {
    pub(crate) fn new() -> Self {
        Self {
            listener: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    /// A command that waits until [`Door::open`] is called.
    pub(crate) fn wait_command(&self) -> String {
        format!("nc 127.0.0.1 {} </dev/null", self.listener.local_addr().unwrap().port())
    }

    /// Lets one waiting step go on.
    pub(crate) fn open(&self) {
        drop(self.listener.accept().unwrap());
    }
}

/// Whether a process with these bytes in its command line exists.
pub(crate) fn is_running(cmdline: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|found| String::from_utf8_lossy(&found).contains(cmdline))
}
