//! `kill -9` at any request to the engine: the next start leaves nothing that it doesn't know of.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::docker::Engine;
use crate::engine_proxy::{Moment, Proxy};
use crate::support::{Ir, Lab};

/// Kills of one test.
const KILLS: usize = 14;

/// A build in which all is done that makes something in an engine: an image with the tree, a newer tree on a cached step,
/// forks, content hashes, a chain, a command that runs on.
fn build() -> Ir {
    Ir::new()
        .step("base", "echo base > /base")
        .forever()
        .step("cached", "cat /base; echo cached > /cached")
        .builds_in("base")
        .on_change(&["changing"])
        .step("root", "cat changing; sleep 1000 & echo root > /root-was-here")
        .step("one", "cat /root-was-here; echo one > /one")
        .builds_in("root")
        .step("two", "cat /root-was-here")
        .builds_in("root")
        .step("three", "cat /one")
        .builds_in("one")
}

#[test]
fn a_kill_at_any_request_leaves_nothing_in_the_engine() {
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    let Some(socket) = engine.host.strip_prefix("unix://").map(Path::new) else {
        return;
    };
    for number in 0..20 {
        lab.write(&format!("files/{number}"), &number.to_string());
    }
    lab.write("gone/0", "");
    lab.write("changing", "first");
    engine.run(&lab, &build()).passed();
    // How many there are of a build on a tree that is new, as all below.
    lab.write("changing", "counted");
    let through = |name: &str, stop| {
        let path = lab.path(name);
        let proxy = Proxy::start(&path, socket, stop);
        let mut command = engine.command(&lab, &build(), &engine.image);
        command.env("DOCKER_HOST", format!("unix://{}", path.display()));
        command
            .args(["--parallelism", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        (path, proxy, command)
    };
    let (path, proxy, mut command) = through("counting.sock", None);
    assert!(command.status().unwrap().success());
    let requests = proxy.requests();
    proxy.close(&path);
    assert!(requests > 40, "{requests}");

    for kill in 0..KILLS {
        let moment = if kill % 2 == 0 { Moment::Before } else { Moment::After };
        let number = 3 + kill * (requests - 4) / KILLS;
        // Files come, change and go.
        lab.write("changing", &kill.to_string());
        lab.write(&format!("gone/{}", kill + 1), "");
        fs::remove_file(lab.tree().join(format!("gone/{kill}"))).unwrap();
        let (path, proxy, mut command) = through(&format!("{kill}.sock"), Some((number, moment)));
        let mut child = command.spawn().unwrap();
        let reached = loop {
            match proxy.reached().recv_timeout(Duration::from_millis(100)) {
                Ok(()) => break true,
                // The number of requests may differ a little from build to build.
                Err(RecvTimeoutError::Timeout) if child.try_wait().unwrap().is_none() => {}
                Err(_) => break false,
            }
        };
        child.kill().unwrap();
        let killed = child.wait().unwrap().signal() == Some(Signal::KILL.as_raw());
        assert_eq!(killed, reached);
        assert!(reached || number + 10 > requests, "{number} of {requests}");
        proxy.close(&path);
        engine.run(&lab, &Ir::new().step("s", "true")).passed();
        engine.assert_all_is_known(&format!("killed {moment:?} request {number} of {requests}"));
    }
    let full = engine.run(&lab, &build()).passed();
    assert_eq!(full.stdout("three"), ["one"]);
    assert_eq!(full.stdout("root"), [(KILLS - 1).to_string()]);
    engine.assert_all_is_known("a whole build");
}

impl Engine {
    /// No container of the store is there, and no image but those that the store knows and what they stand on.
    fn assert_all_is_known(&self, when: &str) {
        let label = self.label().unwrap();
        let unknown = || {
            let containers = self.docker(&["ps", "-aq", "--no-trunc", "--filter", &label]);
            let known = self.known_images();
            let images = self.docker(&["images", "-aq", "--no-trunc", "--filter", &label]);
            let images = images.into_iter().filter(|image| !known.contains(image));
            containers.into_iter().chain(images).collect::<Vec<_>>()
        };
        // The engine may still be at what the dead one asked it to remove.
        let mut left = unknown();
        for _ in 0..50 {
            if left.is_empty() {
                return;
            }
            left = unknown();
        }
        panic!("{when}: {left:?} is left");
    }

    fn known_images(&self) -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        for layer in fs::read_dir(self.store.join("l")).unwrap() {
            let Ok(record) = fs::read(layer.unwrap().path().join("docker.json")) else {
                continue;
            };
            let record: Value = serde_json::from_slice(&record).unwrap();
            let mut next = record["image"].as_str().unwrap().to_owned();
            while !next.is_empty() && known.insert(next.clone()) {
                next = self.docker(&["inspect", "--format", "{{.Parent}}", &next]).concat();
            }
        }
        known
    }
}
