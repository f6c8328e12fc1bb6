//! Steps in containers of a real engine: the one at `DOCKER_HOST`, which `scripts/test` starts where it can. Where no
//! engine is named, these tests have nothing to run on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::made::{Layer, Made};
use crate::real::Real;
use crate::support::{Ir, Lab, LiveRun, Run};

/// The engine, with an image that holds what the lab's root file system holds.
pub(crate) struct Engine {
    pub(crate) host: String,
    pub(crate) image: String,
    pub(crate) store: PathBuf,
}

impl Engine {
    /// The engine that is named, if one is.
    pub(crate) fn named(lab: &Lab) -> Option<Self> {
        let host = std::env::var_os("DOCKER_HOST")?.into_string().ok()?;
        Some(Self::at(lab, host))
    }

    pub(crate) fn at(lab: &Lab, host: String) -> Self {
        let folder = lab.path("");
        let name = folder.file_name().unwrap().to_str().unwrap();
        let image = format!("hm-it:{}", name.to_lowercase().replace('.', "-"));
        let store = lab.store();
        let engine = Self { host, image, store };
        let mut archive = tar::Builder::new(Vec::new());
        archive.follow_symlinks(false);
        archive.append_dir_all(".", lab.root()).unwrap();
        let path = lab.path("image.tar");
        fs::write(&path, archive.into_inner().unwrap()).unwrap();
        engine.docker(&["import", path.to_str().unwrap(), &engine.image]);
        engine
    }

    /// What the engine's own command says, a line each.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("docker");
        command.args(arguments).env("DOCKER_HOST", &self.host);
        let output = command.output().expect("the engine's package has its command");
        assert!(output.status.success(), "docker {arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    pub(crate) fn command(&self, lab: &Lab, ir: &Ir, image: &str) -> Command {
        let mut command = lab.run_command(ir);
        fs::write(lab.path("pipeline.json"), ir.render(image)).unwrap();
        command.args(["--backend", "docker"]).env("DOCKER_HOST", &self.host);
        command
    }

    pub(crate) fn run(&self, lab: &Lab, ir: &Ir) -> Run {
        Run::of(&self.command(lab, ir, &self.image).output().unwrap())
    }

    fn start(&self, lab: &Lab, ir: &Ir) -> LiveRun {
        LiveRun::spawn(&mut self.command(lab, ir, &self.image))
    }

    /// Containers, images and volumes of the lab's store.
    pub(crate) fn left(&self) -> [usize; 3] {
        let label = self.label().unwrap();
        [
            self.docker(&["ps", "-aq", "--filter", &label]).len(),
            self.docker(&["images", "-aq", "--filter", &label]).len(),
            self.docker(&["volume", "ls", "-q", "--filter", &label]).len(),
        ]
    }

    /// What is on all that was made for the store.
    pub(crate) fn label(&self) -> Option<String> {
        let id = fs::read_to_string(self.store.join("docker-id")).ok()?;
        Some(format!("label=dev.hm.store={id}"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut images = vec![self.image.clone()];
        let label = self.label();
        images.extend(
            label
                .map(|label| self.docker(&["images", "-q", "--filter", &label]))
                .unwrap_or_default(),
        );
        let mut command = Command::new("docker");
        command.args(["rmi", "-f"]).args(images).env("DOCKER_HOST", &self.host);
        drop(command.output());
    }
}

/// What is there after a build on one tree: the image with the tree, for the next build.
pub(crate) const ONLY_THE_TREE: [usize; 3] = [0, 1, 0];

/// What people see of a build: how each step ended, what it wrote and what it was told.
fn seen(run: &Run, steps: &[&str]) -> Vec<(String, Value, Value, Vec<Value>)> {
    let mut all = Vec::new();
    for step in steps {
        let end = run.end(step);
        let logs = run
            .of_step(step)
            .into_iter()
            .filter(|event| event["kind"] == "step_log");
        let mut lines: Vec<Value> = logs.map(|event| json!([event["stream"], event["line"]])).collect();
        // The order of two streams that are written at once is nobody's promise.
        lines.sort_by_key(|line| line[0].to_string());
        all.push((
            run.status(step).to_owned(),
            end["exit_code"].clone(),
            end["reason"]["key"].clone(),
            lines,
        ));
    }
    all
}

/// A pipeline with one of everything.
fn everything() -> (Ir, Vec<&'static str>) {
    let files =
        "find /workspace /made /tmp -exec stat -c '%n %a %u %g %F %s' {} + | sort; cat /workspace/src/* /made/*";
    let ir = Ir::new()
        .step("base", "mkdir -p /made; echo base > /made/base; echo made > src/made; cat src/a; echo to-err >&2")
        .forever()
        .step("built", "echo step > src/b; chmod 640 src/b; ln -s b src/l; rm -r gone; printf 'no newline'; printf '\\303'; printf '\\244\\n'")
        .builds_in("base")
        .on_change(&["src/**"])
        .step("env", "env | sort | grep -v -e ^_= -e ^PWD= -e ^SHLVL=; pwd; id -u; hostname; cat")
        .env("GIVEN", "a 'b' \"c\" $d\nline two")
        .builds_in("built")
        .step("one", "echo 1 > /made/1; chown 7:8 /made/1; seq 3000; kill -9 $$")
        .with("allow_failure", json!(true))
        .builds_in("built")
        .step("after-one", files)
        .with("continue_on_failure", json!(true))
        .builds_in("one")
        .step("chain-1", "echo c1 > /made/c1; echo more >> src/b")
        .builds_in("built")
        .step("chain-2", "cat /made/c1; mv /made/c1 /made/c2; mkdir -m 700 /made/d; touch /made/d/x; rm -r /made/d")
        .builds_in("chain-1")
        .step("chain-3", files)
        .builds_in("chain-2")
        .step("missing", "no-such-command")
        .with("allow_failure", json!(true))
        .builds_in("chain-2")
        .step("slow", "sleep 1000")
        .with("timeout_seconds", json!(1))
        .with("allow_failure", json!(true))
        .builds_in("base")
        .step("last", "exit 3")
        .after("after-one")
        .after("chain-3")
        .after("missing")
        .after("slow")
        .after("env")
        .step("never", "true")
        .after("last");
    let steps = vec![
        "base",
        "built",
        "env",
        "one",
        "after-one",
        "chain-1",
        "chain-2",
        "chain-3",
        "missing",
        "slow",
        "last",
        "never",
    ];
    (ir, steps)
}

#[test]
fn a_pipeline_gives_what_it_gives_in_the_sandbox() {
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    lab.write("src/a", "one\n");
    lab.write("src/b", "b\n");
    lab.write("gone/f", "f");
    let (ir, steps) = everything();
    // Anew, then from the cache, then with a tree that has changed where steps have changed it, too.
    for round in 0..3 {
        if round == 2 {
            lab.write("src/b", "user\n");
            fs::remove_dir_all(lab.tree().join("gone")).unwrap();
            lab.write("later", "l");
        }
        let sandbox = lab.run(&ir);
        let docker = engine.run(&lab, &ir);
        assert_eq!(sandbox.code, Some(1), "{sandbox:#?}");
        assert_eq!(docker.code, sandbox.code, "{docker:#?}");
        for (step, (one, other)) in steps
            .iter()
            .zip(seen(&sandbox, &steps).iter().zip(&seen(&docker, &steps)))
        {
            assert_eq!(one, other, "{step} of round {round}");
        }
        let expected = if round == 1 { "cached" } else { "passed" };
        assert_eq!(docker.status("built"), expected);
    }
    assert_eq!(engine.left()[0], 0);
}

/// A build of which one step waits for ever, beside others and on top of others.
fn waiting() -> Ir {
    Ir::new()
        .step("root", "echo base > /base")
        .step("waits", "echo waiting; sleep 1000 & wait")
        .builds_in("root")
        .step("other", "cat /base; sleep 1000")
        .builds_in("root")
        .step("next", "true")
        .builds_in("waits")
}

#[test]
fn signals_leave_nothing_in_the_engine() {
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut live = engine.start(&lab, &waiting());
        live.wait_for_line("waiting");
        assert!(engine.left()[0] > 0);
        live.signal(signal);
        let run = live.finish();
        assert!(run.code == Some(code) || signal == Signal::HUP, "{signal:?}: {run:#?}");
        assert_eq!(engine.left(), ONLY_THE_TREE, "{signal:?}: {run:#?}");
    }
}

#[test]
fn the_next_start_removes_what_a_killed_one_left() {
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    let mut live = engine.start(&lab, &waiting());
    live.wait_for_line("waiting");
    live.signal(Signal::KILL);
    drop(live.finish());
    assert!(engine.left()[0] > 0, "its containers run on");
    engine.run(&lab, &Ir::new().step("s", "true")).passed();
    assert_eq!(engine.left(), ONLY_THE_TREE);
}

#[test]
fn failures_leave_nothing_in_the_engine() {
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    let over = Ir::new()
        .step("root", "echo base > /base")
        .step("slow", "sleep 1000")
        .with("timeout_seconds", json!(1))
        .builds_in("root");
    let run = engine.run(&lab, &over);
    assert_eq!((run.code, run.status("slow")), (Some(1), "timed_out"), "{run:#?}");
    assert_eq!(engine.left(), ONLY_THE_TREE);
    let failing = waiting().step("fails", "exit 7");
    let run = engine.run(&lab, &failing);
    assert_eq!((run.code, run.status("fails")), (Some(1), "failed"), "{run:#?}");
    assert_eq!(engine.left(), ONLY_THE_TREE);
    let missing = Ir::new()
        .step("s", "true")
        .with("image", json!("127.0.0.1:1/no/such:tag"));
    let run = engine.run(&lab, &missing);
    assert_eq!((run.code, run.status("s")), (Some(1), "errored"), "{run:#?}");
    assert!(run.end("s").to_string().contains("127.0.0.1:1"), "{run:#?}");
    assert_eq!(engine.left(), ONLY_THE_TREE);
}

/// Engines refuse an image of more than 127 layers.
#[test]
fn a_chain_is_as_long_as_it_likes() {
    const STEPS: usize = 150;
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    let mut ir = Ir::new().step("s0", "echo 0 > /log");
    for number in 1..STEPS {
        let cmd = format!("echo {number} >> /log; wc -l < /log");
        ir = ir.step(&format!("s{number}"), &cmd);
        ir = ir.builds_in(&format!("s{}", number - 1));
        // Some are kept, and so are images.
        if number % 4 == 0 {
            ir = ir.forever();
        }
    }
    let run = engine.run(&lab, &ir).passed();
    assert_eq!(run.stdout(&format!("s{}", STEPS - 1)), [STEPS.to_string()]);
    assert_eq!(engine.left()[0], 0);
}

/// Credentials are those of `docker login`: in the file itself, or with a helper.
#[test]
fn a_registry_with_a_password_is_logged_in_to() {
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    let real = Real::with_password();
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", lab.root()).unwrap();
    let root = Layer::of_tar(archive.into_inner().unwrap()).gzip();
    real.push("o/closed", &Made::tagged(&[root]));
    let image = format!("{}/o/closed:t", real.host());
    let ir = Ir::new().step("s", "echo ran");
    let build = || {
        let mut command = engine.command(&lab, &ir, &image);
        let path = format!("{}:/usr/bin:/bin", lab.path("bin").display());
        Run::of(&command.env("PATH", path).output().unwrap())
    };
    let refused = build();
    assert_eq!(
        (refused.code, refused.status("s")),
        (Some(1), "errored"),
        "{refused:#?}"
    );
    let fix = format!("docker login {}", real.host());
    assert!(refused.end("s")["fixes"].to_string().contains(&fix), "{refused:#?}");

    fs::create_dir_all(lab.path("home/.docker")).unwrap();
    let config = lab.path("home/.docker/config.json");
    // `user:secret`.
    let entry = json!({ "auths": { real.host(): { "auth": "dXNlcjpzZWNyZXQ=" } } });
    fs::write(&config, entry.to_string()).unwrap();
    assert_eq!(build().passed().stdout("s"), ["ran"]);
    engine.docker(&["rmi", "-f", &image]);

    fs::create_dir(lab.path("bin")).unwrap();
    let helper = lab.path("bin/docker-credential-test");
    fs::write(
        &helper,
        "#!/bin/sh\necho '{ \"Username\": \"user\", \"Secret\": \"secret\" }'\n",
    )
    .unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let entry = json!({ "credHelpers": { real.host(): "test" } });
    fs::write(&config, entry.to_string()).unwrap();
    assert_eq!(build().passed().stdout("s"), ["ran"]);
    engine.docker(&["rmi", "-f", &image]);
}

#[test]
fn what_the_engine_lacks_is_pulled_by_its_tag() {
    let lab = Lab::new();
    let Some(engine) = Engine::named(&lab) else { return };
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", lab.root()).unwrap();
    let root = Layer::of_tar(archive.into_inner().unwrap()).gzip();
    let real = Real::start();
    let mut made = Made::tagged(&[root]);
    let digest = crate::made::digest(&made.manifests["t"].1);
    made.tag("another", &digest);
    real.push("o/busybox", &made);
    let image = format!("{}/o/busybox:t", real.host());
    let ir = Ir::new().step("s", "echo $((40 + 2))");
    let run = Run::of(&engine.command(&lab, &ir, &image).output().unwrap()).passed();
    assert_eq!(run.stdout("s"), ["42"]);
    assert!(run.stderr.contains(&format!("pulling {image}")), "{run:#?}");
    assert!(run.stderr.contains("layer 1 of 1 is ready"), "{run:#?}");
    let names = engine.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(names.contains(&image), "{names:?}");
    assert!(
        !names.iter().any(|name| name.ends_with("o/busybox:another")),
        "{names:?}"
    );
    engine.docker(&["rmi", "-f", &image]);
    // What is there is not asked for again.
    let run = Run::of(&engine.command(&lab, &ir, &engine.image).output().unwrap()).passed();
    assert!(!run.stderr.contains("pulling"), "{run:#?}");
}
