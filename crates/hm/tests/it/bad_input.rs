//! Input that can't be used: a stable code, a cause and a fix, and a store as it was.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Ir, Lab, Run};

fn run_text(lab: &Lab, ir: &str) -> Run {
    fs::write(lab.path("bad.json"), ir).unwrap();
    Run::of(
        &lab.hm()
            .args(["run", "--format", "json", "--ir"])
            .arg(lab.path("bad.json"))
            .output()
            .unwrap(),
    )
}

pub(crate) fn assert_error<'a>(run: &'a Run, exit: i32, code: &str) -> &'a Value {
    assert_eq!(run.code, Some(exit), "{run:#?}");
    let error = run.events.last().expect("an error object");
    assert_eq!(error["code"], code, "{run:#?}");
    assert_eq!(error["exit_code"], exit);
    assert!(!error["fixes"].as_array().unwrap().is_empty(), "a fix: {run:#?}");
    error
}

#[test]
fn a_document_that_is_not_json() {
    assert_error(&run_text(&Lab::new(), "{"), 7, "ir_invalid");
}

#[test]
fn every_problem_of_a_document_is_told_at_once() {
    let lab = Lab::new();
    let ir = json!({"version": "9", "graph": {"nodes": [
        {"step": {"key": "", "cmd": "true"}, "env": {}},
        {"step": {"key": "a", "cmd": "true", "timeout_seconds": 0}, "env": {}},
        {"step": {"key": "a", "cmd": "true"}},
    ], "edge_property": "directed", "edges": [[1, 1, "builds_in"], [0, 9, "depends_on"]]}});
    let run = run_text(&lab, &ir.to_string());
    assert_error(&run, 7, "ir_invalid");
    let causes = run.events[0]["causes"].to_string();
    for part in [
        "/version",
        "/graph/nodes/0",
        "/graph/nodes/1",
        "/graph/nodes/2",
        "/graph/edges/0",
        "/graph/edges/1",
    ] {
        assert!(causes.contains(part), "{part} in {causes}");
    }
}

#[test]
fn a_document_that_is_not_there() {
    let lab = Lab::new();
    let run = Run::of(
        &lab.hm()
            .args(["run", "--format", "json", "--ir", "/no/such"])
            .output()
            .unwrap(),
    );
    assert_error(&run, 5, "ir_unreadable");
}

#[test]
fn an_unknown_runner() {
    let run = Lab::new().run(&Ir::new().step("s", "true").with("runner", json!("teleport")));
    assert_error(&run, 7, "runner_unknown");
}

#[test]
fn an_unknown_backend() {
    let run = Lab::new().run_with(&Ir::new().step("s", "true"), &["--backend", "moon"]);
    assert_error(&run, 2, "backend_unknown");
}

#[test]
fn an_engine_that_does_not_answer() {
    let lab = Lab::new();
    let ir = Ir::new().step("s", "true");
    for host in ["unix:///no/such.sock", "tcp://127.0.0.1:1", "carrier-pigeon://x"] {
        let mut command = lab.run_command(&ir);
        command.args(["--backend", "docker"]).env("DOCKER_HOST", host);
        let run = Run::of(&command.output().unwrap());
        assert_error(&run, 4, "engine_unavailable");
    }
}

#[test]
fn a_member_that_this_engine_cannot_honour() {
    let run = Lab::new().run(
        &Ir::new()
            .step("s", "true")
            .with("secrets", json!([{"name": "TOKEN", "env": "TOKEN"}])),
    );
    assert_error(&run, 7, "feature_unsupported");
}

#[test]
fn an_image_that_is_not_there_is_the_steps_error() {
    let lab = Lab::new();
    let run = lab.run(&Ir::new().step("s", "true").with("image", json!("dir:/no/such/root")));
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(run.status("s"), "errored");
    assert!(run.end("s")["causes"].to_string().contains("/no/such/root"), "{run:#?}");
}

#[test]
fn a_command_that_is_not_there_exits_127() {
    let run = Lab::new().run(&Ir::new().step("s", "no-such-command"));
    assert_eq!(
        (run.code, &run.end("s")["exit_code"]),
        (Some(1), &json!(127)),
        "{run:#?}"
    );
}

#[test]
fn an_image_without_a_shell_says_so() {
    let lab = Lab::new();
    fs::create_dir(lab.path("bare")).unwrap();
    let image = format!("dir:{}", lab.path("bare").display());
    let run = lab.run(&Ir::new().step("s", "true").with("image", json!(image)));
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.end("s")["causes"].to_string().contains("sh"), "{run:#?}");
}

#[test]
fn a_pipeline_file_that_raises_is_told_with_its_line() {
    let lab = Lab::new();
    lab.write(
        ".hm/pipeline.py",
        "import harmont as hm\n\nraise RuntimeError('broken on purpose')\n",
    );
    let output = lab.hm().args(["run", "--format", "json"]).output().unwrap();
    let run = Run::of(&output);
    assert_error(&run, 2, "pipeline_source");
    let told = run.events[0].to_string();
    assert!(
        told.contains("pipeline.py:3") && told.contains("broken on purpose"),
        "{told}"
    );
}

#[test]
fn a_folder_without_pipelines() {
    let lab = Lab::new();
    let run = Run::of(&lab.hm().args(["run", "--format", "json"]).output().unwrap());
    assert_error(&run, 5, "pipelines_missing");
}

#[test]
fn a_slug_that_is_not_declared() {
    let lab = Lab::new();
    lab.write(
        ".hm/pipeline.py",
        "import harmont as hm\n@hm.pipeline('one')\ndef one():\n    return hm.sh('true')\n",
    );
    let run = Run::of(&lab.hm().args(["run", "two", "--format", "json"]).output().unwrap());
    assert_error(&run, 5, "pipeline_unknown");
    assert!(
        run.events[0].to_string().contains("one"),
        "the declared ones are listed: {run:#?}"
    );
}

#[test]
fn a_configuration_that_cannot_be_read() {
    let lab = Lab::new();
    lab.write(".hm/config.toml", "parallelism = \"many\"\n");
    let run = lab.run(&Ir::new().step("s", "true"));
    assert_error(&run, 2, "config_invalid");
    assert!(run.events[0].to_string().contains("config.toml"), "{run:#?}");
}

#[test]
fn a_store_that_cannot_be_written() {
    let lab = Lab::new();
    fs::write(lab.store(), "a file").unwrap();
    let run = lab.run(&Ir::new().step("s", "true"));
    assert_error(&run, 4, "store_unavailable");
}

#[test]
fn errors_are_text_on_standard_error_without_json() {
    let lab = Lab::new();
    let output = lab.hm().args(["run", "-e", "BAD"]).output().unwrap();
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error[env_invalid]: "), "{text}");
    assert!(text.contains("\n  fix: "), "{text}");
}

/// A file system of its own, gone with the test.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf, size: &str) -> Self {
        fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size, "tmpfs"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(mounted.success(), "this test mounts a tmpfs and needs root");
        Self(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).stderr(Stdio::null()).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_a_store_that_works() {
    let lab = Lab::new();
    let disk = SmallDisk::mount(lab.path("disk"), "size=8m");
    let with_store = |ir: &Ir| {
        Run::of(
            &lab.run_command(ir)
                .env("HM_STORE__DIR", disk.0.join("store"))
                .output()
                .unwrap(),
        )
    };
    let good = Ir::new().step("s", "echo fine").forever();
    with_store(&good).passed();
    // What fills the disk leaves no room for its own log, either: the build can't go on, and says why.
    let full = with_store(&Ir::new().step("s", "dd if=/dev/zero of=/big bs=1M count=64").forever());
    assert_error(&full, 4, "build_broken");
    let told = full.events.last().unwrap().to_string();
    assert!(told.contains("No space left"), "{told}");
    assert_eq!(with_store(&good).passed().status("s"), "cached");
}

/// A command line that clap or the configuration refuses: what a program is told.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let lab = Lab::new();
    Run::of(
        &lab.hm()
            .args(arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap(),
    )
}

#[test]
fn usage_errors_are_objects_for_programs() {
    let by_variable = [("HM_PREFERENCES__FORMAT", "json")];
    for (arguments, variables) in [
        (["run", "--nope", "--format", "json"].as_slice(), [].as_slice()),
        (&["check", "--format=json", "--nope"], &[]),
        (&["run", "--nope"], &by_variable),
        (&["nope"], &by_variable),
    ] {
        let run = refused(arguments, variables);
        assert_error(&run, 2, "usage");
        assert!(run.events[0]["message"].as_str().unwrap().contains("nope"), "{run:#?}");
        assert!(run.stderr.is_empty(), "{run:#?}");
    }
    let run = refused(&["run", "--nope", "--format", "human"], &by_variable);
    assert_eq!(run.code, Some(2));
    assert!(
        run.events.is_empty() && run.stderr.contains("--nope"),
        "the flag wins: {run:#?}"
    );
}

#[test]
fn errors_follow_the_format_of_the_configuration() {
    let run = refused(&["run", "--ir", "/no/such"], &[("HM_PREFERENCES__FORMAT", "json")]);
    assert_error(&run, 5, "ir_unreadable");
    let lab = Lab::new();
    lab.write(".hm/config.toml", "preferences.format = \"json\"\n");
    let run = Run::of(&lab.hm().args(["run", "--ir", "/no/such"]).output().unwrap());
    assert_error(&run, 5, "ir_unreadable");
}

#[test]
fn no_step_at_once_is_refused_with_a_fix() {
    for count in ["0", "-1", "many"] {
        let run = refused(&["run", &format!("--parallelism={count}"), "--format", "json"], &[]);
        assert_error(&run, 2, "config_invalid");
        let told = run.events[0].to_string();
        assert!(
            told.contains("--parallelism: ") && told.contains("write an integer"),
            "{told}"
        );
    }
}
