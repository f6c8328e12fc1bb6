//! `hm render --keys`: the keys under which `hm run` looks steps up, before it does.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Ir, Lab};

/// A cached chain, a step beside it that isn't cached, and cached steps under that one.
fn sample() -> Ir {
    Ir::new()
        .step("base", "echo 1 > /made")
        .forever()
        .step("build", "cat src/a /made")
        .on_change(&["src"])
        .builds_in("base")
        .step("test", "true")
        .builds_in("build")
        .step("pack", "true")
        .forever()
        .builds_in("test")
        .step("sign", "true")
        .forever()
        .builds_in("pack")
}

fn keys_command(lab: &Lab, ir: &Ir, flags: &[&str]) -> Output {
    let file = lab.path("keys.json");
    std::fs::write(&file, ir.render(&format!("dir:{}", lab.root().display()))).unwrap();
    let mut command = lab.hm();
    command.args(["render", "--keys", "--ir"]).arg(file).args(flags);
    command.output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap()
}

/// The entries by step, in node order.
fn keys(lab: &Lab, ir: &Ir, flags: &[&str]) -> Vec<Value> {
    let output = keys_command(lab, ir, &[&["--format", "json"], flags].concat());
    serde_json::from_str(stdout(&output)).unwrap()
}

#[test]
fn shown_keys_are_those_of_the_run() {
    let lab = Lab::new();
    lab.write("src/a", "1");
    let flags = ["-e", "V=1"];
    let before = keys(&lab, &sample(), &flags);
    lab.run_with(&sample(), &flags).passed();
    assert_eq!(keys(&lab, &sample(), &flags), before, "a run changes no key");
    let run = lab.run_with(&sample(), &flags).passed();
    let hits = run.kinds("step_cache_hit");
    for step in ["base", "build"] {
        let hit = hits.iter().find(|hit| hit["key"] == step).unwrap();
        let shown = before.iter().find(|entry| entry["step"] == step).unwrap();
        assert_eq!(shown["key"], hit["tag"], "{step}");
    }
    assert_ne!(keys(&lab, &sample(), &[])[0]["key"], before[0]["key"], "-e takes part");
}

#[test]
fn what_depends_on_an_uncached_step_says_so() {
    let lab = Lab::new();
    lab.write("src/a", "1");
    let shown = keys(&lab, &sample(), &[]);
    let (base, build) = (shown[0]["key"].as_str().unwrap(), shown[1]["key"].as_str().unwrap());
    let of = |step, policy, key: Option<&str>, reason: Option<&str>, after: Option<&str>| json!({"step": step, "policy": policy, "key": key, "reason": reason, "after": after});
    let wanted = [
        of("base", "forever", Some(base), None, None),
        of("build", "on_change", Some(build), None, None),
        of("test", "none", None, Some("not_cached"), None),
        of("pack", "forever", None, Some("after"), Some("test")),
        of("sign", "forever", None, Some("after"), Some("test")),
    ];
    assert_eq!(shown, wanted);
    let told = format!(
        "base forever {base}\nbuild on_change {build}\ntest none -\npack forever after test\nsign forever after test\n"
    );
    assert_eq!(stdout(&keys_command(&lab, &sample(), &[])), told);
}

#[test]
fn a_key_changes_with_the_files_of_its_policy_and_with_no_other() {
    let lab = Lab::new();
    lab.write("src/a", "1");
    lab.write("other", "1");
    let first = keys(&lab, &sample(), &[]);
    lab.write("other", "2");
    assert_eq!(keys(&lab, &sample(), &[]), first);
    lab.write("src/a", "2");
    let second = keys(&lab, &sample(), &[]);
    assert_eq!(second[0], first[0]);
    assert_ne!(second[1]["key"], first[1]["key"]);
}

#[test]
fn twins_in_both_languages_have_the_same_keys() {
    let lab = Lab::new();
    lab.write("src/a", "1");
    lab.write(
        ".hm/py.py",
        "import harmont as hm

@hm.pipeline('py', default_image='host')
def py():
    base = hm.sh('echo 1', label='base', cache=hm.forever())
    return base.sh('cat src/a', label='build', cache=hm.on_change('src/**'))
",
    );
    lab.write(
        ".hm/ts.ts",
        "import { forever, onChange, pipeline, sh } from '@harmont/hm';
const base = sh('echo 1', { label: 'base', cache: forever() });
const build = base.sh('cat src/a', { label: 'build', cache: onChange('src/**') });
export default { slug: 'ts', pipeline: pipeline([build], { defaultImage: 'host' }) };
",
    );
    let shown = |slug: &str| {
        let output = lab.hm().args(["render", "--keys", slug]).output().unwrap();
        stdout(&output).to_owned()
    };
    let python = shown("py");
    assert_eq!(
        python
            .lines()
            .filter(|line| line.split(' ').nth(2).unwrap().len() == 64)
            .count(),
        2,
        "{python}"
    );
    assert_eq!(python, shown("ts"));
}

#[test]
fn flags_that_would_have_no_effect_are_refused() {
    let lab = Lab::new();
    let refused = |arguments: &[&str], names: &str| {
        let output = lab.hm().args(arguments).output().unwrap();
        // Where JSON is asked for, the error is on standard output.
        let told = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(names), "{arguments:?}: {told}");
    };
    for flags in [
        &["--offline"][..],
        &["-e", "A=1"],
        &["--backend", "sandbox"],
        &["--image", "host"],
        &["--format", "json"],
    ] {
        refused(&[&["render", "--ir", "-"], flags].concat(), "--keys");
    }
    for command in [&["render"][..], &["render", "--keys"], &["graph"], &["run"]] {
        refused(&[command, &["ci", "--ir", "-"]].concat(), "--ir");
    }
}

#[test]
fn a_document_that_is_not_there_is_told() {
    let lab = Lab::new();
    for command in [&["render"][..], &["render", "--keys"], &["graph"], &["run"]] {
        let output = lab.hm().args(command).args(["--ir", "nowhere.json"]).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{told}");
        assert!(
            told.contains("error[ir_unreadable]: the document nowhere.json can't be read"),
            "{told}"
        );
    }
}

#[test]
fn an_image_that_is_not_there_is_told() {
    let lab = Lab::new();
    let output = keys_command(&lab, &sample(), &["--image", "dir:/no/such/root"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(
        told.contains("keys_unknown") && told.contains("/no/such/root"),
        "{told}"
    );
}
