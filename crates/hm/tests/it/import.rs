//! `hm import github`: workflows that hold each construct, what they become, and what is told.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::{Lab, Run};

const FULL: &str = include_str!("workflows/full.yml");
const SIMPLE: &str = include_str!("workflows/simple.yml");

fn import(lab: &Lab, flags: &[&str]) -> Output {
    lab.hm().args(["import", "github"]).args(flags).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The pipeline file that a workflow becomes, and what is told about it.
fn imported(workflow: &str) -> (Lab, String, String) {
    let lab = Lab::new();
    lab.write(".github/workflows/ci.yml", workflow);
    let output = import(&lab, &[]);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let source = fs::read_to_string(lab.tree().join(".hm/ci.py")).unwrap();
    (lab, source, told)
}

fn render(lab: &Lab) -> Value {
    let output = lab.hm().args(["render", "ci", "--strict"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A job of these steps, as YAML.
fn job(steps: &str) -> String {
    format!("on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n{steps}")
}

#[test]
fn every_construct() {
    let (lab, source, told) = imported(FULL);
    insta::assert_snapshot!("import_full_source", source);
    insta::assert_snapshot!("import_full_told", told);
    let graph = lab.hm().args(["graph", "ci"]).output().unwrap();
    assert!(graph.status.success(), "{}", text(&graph.stderr));
    insta::assert_snapshot!("import_full_graph", text(&graph.stdout));
}

#[test]
fn every_note_is_in_the_file_too() {
    let (_lab, source, told) = imported(FULL);
    let notes = told
        .lines()
        .filter_map(|line| line.strip_prefix(".github/workflows/ci.yml:"));
    let notes: Vec<&str> = notes
        .filter(|note| note.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    assert!(notes.len() > 20, "{told}");
    for note in notes {
        assert!(source.contains(&format!("# line {note}")), "{note} in {source}");
    }
}

#[test]
fn the_same_workflow_gives_the_same_file() {
    assert_eq!(imported(FULL).1, imported(FULL).1);
}

#[test]
fn a_simple_workflow_runs() {
    let probe = Lab::new();
    let image = format!("dir:{}", probe.root().display());
    let (lab, source, _) = imported(&SIMPLE.replace("IMAGE", &image));
    lab.write("file", "a file\n");
    lab.write("folder/x", "");
    let run = Run::of(&lab.hm().args(["run", "--format", "json"]).output().unwrap());
    assert_eq!(run.code, Some(0), "{source}\n{run:#?}");
    assert_eq!(run.stdout("build-greet"), ["hello world from a file"]);
    assert_eq!(run.status("build-fail-softly"), "failed");
    assert!(
        run.stdout("build-fail-softly").is_empty(),
        "the first failure ends a script"
    );
    assert_eq!(run.stdout("build-pwd"), ["/workspace/folder"]);
    assert_eq!(run.stdout("check-one-echo-first"), ["first"]);
    assert_eq!(
        run.kinds("step_start").len(),
        7,
        "no step for the second word: {source}"
    );
}

#[test]
fn a_combination_without_a_name_has_that_of_the_job() {
    let (lab, _, _) = imported(include_str!("workflows/named.yml"));
    let document = render(&lab);
    let nodes = document["graph"]["nodes"].as_array().unwrap();
    let labels: Vec<&Value> = nodes.iter().skip(1).map(|node| &node["step"]["label"]).collect();
    assert_eq!(labels, ["The first: echo gcc", "build: echo clang"]);
}

#[test]
fn strings_survive_the_way_through_python() {
    let command = r#"printf '%s\n' "a\tb" '{x}' "\"q\"" """ \\ é"#;
    let (lab, _, _) = imported(&job(&format!("      - run: |\n          {command}\n          true\n")));
    let document = render(&lab);
    let cmd = document["graph"]["nodes"][1]["step"]["cmd"].as_str().unwrap();
    let run = std::process::Command::new("sh")
        .args(["-c", &format!("set -- {cmd}; printf %s \"$4\"")])
        .output();
    assert_eq!(text(&run.unwrap().stdout), format!("{command}\ntrue"));
}

#[test]
fn what_is_no_workflow_is_told_with_its_line_and_nothing_is_written() {
    let lab = Lab::new();
    lab.write(".github/workflows/a.yml", &job("      - run: true\n"));
    lab.write(".github/workflows/b.yml", "jobs:\n  x: [\n");
    lab.write(".github/workflows/c.yml", "a: b: c\n");
    let output = import(&lab, &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.contains("workflows/b.yml:3: ") && told.contains("workflows/c.yml:1: "),
        "{told}"
    );
    assert!(!lab.tree().join(".hm").exists());
}

#[test]
fn no_job_left_is_an_error() {
    let lab = Lab::new();
    lab.write(
        "w.yml",
        "on: push\njobs:\n  a:\n    runs-on: windows-latest\n    steps: [{run: dir}]\n",
    );
    let output = import(&lab, &["w.yml"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("w.yml:4: not mapped: the job `a` runs on `windows-latest`"));
    assert!(!lab.tree().join(".hm").exists());
}

#[test]
fn nothing_is_written_over_without_force() {
    let lab = Lab::new();
    lab.write("ci.yml", &job("      - run: true\n"));
    lab.write(".hm/ci.py", "mine = True\n");
    let output = import(&lab, &["ci.yml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("error[file_exists]"), "{output:?}");
    assert_eq!(
        fs::read_to_string(lab.tree().join(".hm/ci.py")).unwrap(),
        "mine = True\n"
    );
    assert!(import(&lab, &["ci.yml", "--force"]).status.success());
    render(&lab);
}

#[test]
fn several_workflows_become_several_pipelines() {
    let lab = Lab::new();
    lab.write(".github/workflows/build-it.yml", &job("      - run: true\n"));
    lab.write(".github/workflows/Docs.yaml", &job("      - run: true\n"));
    lab.write(".github/workflows/README.md", "");
    let output = import(&lab, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout).lines().count(), 2);
    let listed: Value = serde_json::from_slice(&lab.hm().arg("pipelines").output().unwrap().stdout).unwrap();
    assert_eq!(listed["pipelines"][0]["slug"], "build-it");
    assert_eq!(listed["pipelines"][1]["slug"], "docs");
    lab.write(".github/workflows/docs.yml", &job("      - run: true\n"));
    let collide = import(&lab, &["--force"]);
    assert!(
        text(&collide.stderr).contains("error[workflows_collide]"),
        "{collide:?}"
    );
}

#[test]
fn nothing_to_import_is_not_found() {
    assert_eq!(import(&Lab::new(), &[]).status.code(), Some(5));
    assert_eq!(import(&Lab::new(), &["missing.yml"]).status.code(), Some(5));
}

#[test]
fn odd_shapes_do_no_harm() {
    for workflow in [
        "jobs: {a: {runs-on: {group: x}, steps: [{run: x}, 1, [], {}], strategy: {matrix: \"${{ fromJSON(x) }}\"}, env: 3}}",
        "on: {push: 3, schedule: x}\njobs: {import: {runs-on: 4, services: 1, container: {}, defaults: [], steps: [{run: x, if: [], env: []}]}}",
        "on: [push]\nname: [x]\njobs: {a: {runs-on: ubuntu-latest, steps: [{uses: 1, with: 2}, {run: \"a\\0b ${{ x\"}]}}",
    ] {
        let (lab, source, _) = imported(workflow);
        let output = lab.hm().args(["check"]).output().unwrap();
        let told = text(&output.stdout);
        assert!(output.status.success() || told.contains("NUL"), "{told}\n{source}");
    }
}

#[test]
fn broken_workflows_are_errors_with_a_line() {
    let tail = "runs-on: ubuntu-latest\n    steps: [{run: x}]\n";
    for (workflow, line, what) in [
        (
            format!(
                "jobs:\n  c:\n    needs: a\n    {tail}  a:\n    needs: b\n    {tail}  b:\n    needs: a\n    {tail}"
            ),
            7,
            "in turn",
        ),
        (format!("jobs:\n  a:\n    needs: [a]\n    {tail}"), 3, "in turn"),
        (
            format!("jobs:\n  a:\n    needs:\n      - gone\n    {tail}"),
            4,
            "no job of the workflow",
        ),
        (
            format!("jobs:\n  a:\n    {tail}  a:\n    {tail}"),
            5,
            "in the map before",
        ),
        (format!("jobs:\n  a: &a\n    {tail}  b:\n    <<: *a\n"), 6, "`<<`"),
    ] {
        let lab = Lab::new();
        lab.write("w.yml", &workflow);
        let output = import(&lab, &["w.yml"]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains(&format!("w.yml:{line}: ")) && told.contains(what),
            "{told}\n{workflow}"
        );
        assert!(!lab.tree().join(".hm").exists());
    }
}

#[test]
fn what_no_step_can_have_is_left_out_and_told() {
    let workflow = "on: push
jobs:
  a:
    runs-on: ubuntu-latest
    services:
      db:
        image: \"\"
    strategy:
      matrix:
        dir: [\"\", sub]
        version: [3.10]
    env:
      a-b: x
    steps:
      - run: pwd
        working-directory: \"\"
      - run: pwd
        working-directory: ${{ matrix.dir }}
      - run: pwd
        timeout-minutes: 99999999999
      - run: [a]
      - run: echo $CI ${GITHUB_SHA} \"$GITHUB_SHA\"
      - uses: actions/cache@v4
        with: {path: x, key: y}
";
    let (lab, source, told) = imported(workflow);
    render(&lab);
    for note in [
        "7: not mapped: the service `db` has no image",
        "11: `3.10` is kept as it is written; a workflow reads the number 3.1",
        "13: not mapped: the variable `a-b`",
        "20: not mapped: `timeout-minutes` is longer",
        "21: not mapped: `run` is no text",
        "22: `CI` is empty unless it is given: hm run -e CI=...",
        "22: `GITHUB_SHA` is empty",
        "24: not mapped: `key`; all builds share",
    ] {
        assert_eq!(
            told.matches(&format!("ci.yml:{note}")).count(),
            1,
            "{note}\n{told}\n{source}"
        );
    }
}

#[test]
fn a_workflow_may_have_any_name() {
    let lab = Lab::new();
    let file = "c\"\"\"\\ i\n';import os.yml";
    lab.write(file, &job("      - run: true\n      - run: dir\n        shell: cmd\n"));
    let output = import(&lab, &[file]);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(
        told.lines()
            .any(|line| line.starts_with("c\"\"\"\\ i\\n';import os.yml:")),
        "{told}"
    );
    let source = fs::read_to_string(lab.tree().join(".hm/c_i_import_os.py")).unwrap();
    let doc = "\"\"\"The workflow c\\\"\\\"\\\"\\\\ i\\\\n';import os.yml as a pipeline, made by";
    assert!(source.starts_with(doc), "{source}");
    let output = lab.hm().args(["render", "c-i-import-os", "--strict"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_pipeline_of_another_file_that_has_the_slug_is_told() {
    let lab = Lab::new();
    lab.write(
        ".hm/mine.py",
        "import harmont as hm\n@hm.pipeline(\n    'ci')\ndef p():\n    return []\n",
    );
    lab.write(".hm/other.py", "# pipeline('cing')\n");
    lab.write("ci.yml", &job("      - run: true\n"));
    let told = text(&import(&lab, &["ci.yml"]).stderr);
    assert!(told.contains("mine.py declares a pipeline `ci` too"), "{told}");
    assert!(!told.contains("other.py"), "{told}");
}

#[test]
fn what_names_hide_is_spelled_out() {
    let (lab, source, told) = imported(
        "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    \"foo\\nimport os\\e\\u202e\": 1\n    steps:\n      \
         - run: \"true\"\n        name: \"a\\u202eb\"\n",
    );
    assert!(
        told.contains("ci.yml:5: not mapped: `foo\\nimport os\\x1b\\u{202e}` of a job\n"),
        "{told}"
    );
    assert!(
        source.contains("a\\U0000202eb") && !source.contains('\u{202e}'),
        "{source}"
    );
    let label = &render(&lab)["graph"]["nodes"][1]["step"]["label"];
    assert_eq!(label, "build: a\u{202e}b");
}

#[test]
fn a_workflow_in_another_encoding_is_an_error() {
    let lab = Lab::new();
    fs::write(lab.tree().join("w.yml"), b"name: caf\xe9\non: push\n").unwrap();
    let output = import(&lab, &["w.yml"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("w.yml is not UTF-8: byte 0xe9 at offset 9") && told.contains("iconv -f"),
        "{told}"
    );
    assert!(!lab.tree().join(".hm").exists());
}

#[test]
fn the_last_of_several_versions_is_installed() {
    let versions = "      - uses: actions/setup-python@v5\n        with:\n          python-version: |\n            \
                    3.11\n            3.12\n      - run: pytest\n";
    let (_lab, source, told) = imported(&job(versions));
    assert!(source.contains("setup_python(step, env, \"3.12\")"), "{source}");
    assert!(
        told.contains("not mapped: `3.11` of `python-version`; only the last, `3.12`, is installed"),
        "{told}"
    );
}
