//! Steps with `resources`, and limits of `hm` itself.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::ordinary_user::{USER, run_as_user};
use crate::support::{Groups, Ir, Lab, LiveRun, Run};

const MIB: u64 = 1 << 20;
/// More than any limit here allows.
const MUCH: &str = "x=$(dd if=/dev/zero bs=1M count=200 2>/dev/null | tr '\\0' x); echo ${#x}";
const WEAKER: &str = "limits of steps are weaker here";

fn limited(ir: Ir) -> Ir {
    ir.with("resources", json!({ "cpus": 1, "memory_mib": 48, "pids": 32 }))
}

fn cause(run: &Run, key: &str) -> String {
    run.end(key)["causes"][0].as_str().unwrap_or_default().to_owned()
}

fn usage<'a>(run: &'a Run, key: &str) -> &'a Value {
    let usage = run.of_step(key).into_iter().find(|event| event["kind"] == "step_usage");
    usage.unwrap_or_else(|| panic!("no usage of {key} in {run:#?}"))
}

#[test]
fn a_step_that_runs_out_of_memory_is_told_as_such() {
    let Some(groups) = Groups::new() else { return };
    let lab = Lab::new();
    let ir = limited(Ir::new().step("much", MUCH));
    let ir = limited(ir.step("copes", &format!("({MUCH}) || true")));
    let ir = limited(ir.step(
        "little",
        "x=$(dd if=/dev/zero bs=1M count=4 2>/dev/null | tr '\\0' x); echo ${#x}",
    ));
    let ir = ir.step("many", "for n in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; kill $(jobs -p)");
    let ir = ir.with("resources", json!({ "pids": 5 }));
    let ir = ir.step("huge", "true").with("resources", json!({ "pids": u64::MAX }));
    let run = Run::of(
        &groups
            .enter(lab.run_command(&ir).args(["--keep-going"]))
            .output()
            .unwrap(),
    );
    assert_eq!(run.code, Some(1), "{run:#?}");
    let refused = "too many processes: the kernel refused one at the step's limit of 5 (`resources.pids`); raise it, or run fewer at once";
    assert_eq!(
        (run.status("many"), cause(&run, "many").as_str()),
        ("failed", refused),
        "{run:#?}"
    );
    assert_eq!(run.status("huge"), "passed", "{run:#?}");
    let told = "out of memory: the kernel killed a process at the step's limit of 48 MiB (`resources.memory_mib`)";
    assert_eq!(
        (run.status("much"), cause(&run, "much").as_str()),
        ("failed", told),
        "{run:#?}"
    );
    assert_eq!((run.status("copes"), run.notes("copes")), ("passed", vec![told]));
    assert_eq!(run.stdout("little"), [(4 * MIB).to_string()]);
    let peak = usage(&run, "little")["max_rss_bytes"].as_u64().unwrap();
    assert!((4 * MIB..64 * MIB).contains(&peak), "{peak}");
    assert!(!run.stderr.contains(WEAKER), "{}", run.stderr);
    assert!(groups.made().is_empty(), "{:?}", groups.made());
}

#[test]
fn groups_go_however_a_build_ends() {
    let Some(groups) = Groups::new() else { return };
    let lab = Lab::new();
    let waiting = "echo ready; sleep 1000 & sleep 1000";
    let late = limited(Ir::new().step("late", waiting)).with("timeout_seconds", json!(1));
    let run = Run::of(&groups.enter(&lab.run_command(&late)).output().unwrap());
    assert_eq!(run.status("late"), "timed_out", "{run:#?}");
    assert!(groups.made().is_empty(), "{:?}", groups.made());

    let ir = limited(Ir::new().step("waits", waiting));
    for signal in [Signal::INT, Signal::TERM] {
        let mut live = LiveRun::spawn(&mut groups.enter(&lab.run_command(&ir)));
        live.wait_for_line("ready");
        assert!(!groups.made().is_empty());
        live.signal(signal);
        let run = live.finish();
        assert_ne!(run.code, Some(0), "{run:#?}");
        assert!(groups.made().is_empty(), "{:?}", groups.made());
    }
}

#[test]
fn steps_without_limits_have_no_groups() {
    let Some(groups) = Groups::new() else { return };
    let lab = Lab::new();
    let ir = Ir::new().step("free", "echo ready; sleep 1000");
    let mut live = LiveRun::spawn(&mut groups.enter(&lab.run_command(&ir)));
    live.wait_for_line("ready");
    assert!(groups.made().is_empty(), "{:?}", groups.made());
    live.signal(Signal::INT);
    live.finish();
}

#[test]
fn an_ordinary_user_is_told_once_what_is_weaker_and_how_to_mend_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    let ir = limited(Ir::new().step("much", MUCH));
    let ir = limited(ir.step("little", "nproc"));
    let run = run_as_user(&lab, &ir, &format!("{USER}:3000000:65536\n"));
    assert_eq!(
        (run.status("much"), run.status("little")),
        ("failed", "passed"),
        "{run:#?}"
    );
    assert_eq!(run.stdout("little"), ["1"]);
    let notes: Vec<&str> = run.stderr.lines().filter(|line| line.contains(WEAKER)).collect();
    assert_eq!(notes.len(), 1, "{}", run.stderr);
    assert!(notes[0].contains("To mend it: "), "{}", notes[0]);
    assert!(usage(&run, "little")["max_rss_bytes"].as_u64().unwrap() > 0);

    let free = Lab::new();
    let run = run_as_user(&free, &Ir::new().step("s", "true"), &format!("{USER}:3000000:65536\n")).passed();
    assert!(!run.stderr.contains(WEAKER), "{}", run.stderr);
}

/// `hm` where it may have few files open.
fn with_files(lab: &Lab, ir: &Ir, soft: u32, hard: u32) -> Run {
    let hm = lab.run_command(ir);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn $1 && ulimit -Hn $2 && shift 2 && exec \"$@\"", "sh"]);
    command
        .args([soft.to_string(), hard.to_string()])
        .arg(hm.get_program())
        .args(hm.get_args());
    command.args(["--parallelism", "200"]).env_clear();
    for (name, value) in hm.get_envs() {
        command.env(name, value.unwrap());
    }
    Run::of(&command.current_dir(lab.tree()).stdin(Stdio::null()).output().unwrap())
}

fn two_hundred(command: &str) -> Ir {
    (0..200).fold(Ir::new(), |ir, number| ir.step(&format!("s{number}"), command))
}

#[test]
fn many_steps_at_once_have_room_below_the_hard_limit_of_files() {
    let lab = Lab::new();
    let run = with_files(&lab, &two_hundred("ulimit -Sn; sleep 0.3"), 64, 4096).passed();
    assert!(!run.stderr.contains("run at once"), "{}", run.stderr);
    for number in 0..200 {
        assert_eq!(
            run.stdout(&format!("s{number}")),
            ["64"],
            "steps have the user's own limit"
        );
    }
}

#[test]
fn a_low_hard_limit_of_files_means_fewer_steps_at_once() {
    for (soft, hard) in [(64, 128), (64, 64)] {
        let lab = Lab::new();
        let run = with_files(&lab, &two_hundred("true"), soft, hard).passed();
        let notes: Vec<&str> = run.stderr.lines().filter(|line| line.contains("run at once")).collect();
        assert_eq!(notes.len(), 1, "{}", run.stderr);
        assert!(notes[0].contains("--nofile="), "{}", notes[0]);
    }
}

#[test]
fn so_few_files_that_no_build_has_room_are_an_error_that_names_the_limit() {
    let lab = Lab::new();
    with_files(&lab, &Ir::new().step("s", "true"), 44, 44).passed();
    let run = with_files(&lab, &Ir::new().step("s", "true"), 43, 43);
    let error = run.kinds("error")[0];
    assert_eq!(
        (run.code, &error["code"]),
        (Some(4), &json!("files_limited")),
        "{run:#?}"
    );
    assert_eq!(error["message"], "a build needs 44 open files, and `hm` may have 43");
    assert_eq!(
        error["fixes"],
        json!(["sudo prlimit --pid $$ --nofile=1024"]),
        "{error}"
    );
}

#[test]
fn many_steps_that_wait_with_a_cache_policy_have_room_below_a_low_hard_limit_of_files() {
    let cached = (0..300).fold(Ir::new(), |ir, number| {
        ir.step(&format!("s{number}"), &format!(": {number}"))
            .with("cache", json!({ "policy": "forever" }))
    });
    let lab = Lab::new();
    for hard in [64, 128] {
        with_files(&lab, &cached, 64, hard).passed();
    }
}
