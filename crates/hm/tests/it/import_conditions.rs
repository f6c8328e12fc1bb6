//! `hm import github`: what conditions decide is what the workflow would have decided.

use std::fs;

use serde_json::Value;

use crate::support::Lab;

/// The pipeline file that a workflow of these jobs becomes, and what is told about it.
fn imported(jobs: &str) -> (Lab, String, String) {
    let lab = Lab::new();
    lab.write("ci.yml", &format!("on: push\njobs:\n{jobs}"));
    let output = lab.hm().args(["import", "github", "ci.yml"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let source = fs::read_to_string(lab.tree().join(".hm/ci.py")).unwrap();
    (lab, source, told)
}

/// The steps of the pipeline, without that of the runner's packages.
fn steps(lab: &Lab, source: &str) -> Vec<Value> {
    let output = lab.hm().args(["render", "ci", "--strict"]).output().unwrap();
    assert!(output.status.success(), "{output:?}\n{source}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = document["graph"]["nodes"].as_array().unwrap();
    nodes.iter().skip(1).map(|node| node["step"].clone()).collect()
}

/// A job with this matrix and steps with these conditions, each of which says its number and the value `v`.
fn matrix(values: &str, conditions: &[&str]) -> String {
    let mut job =
        format!("  a:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix: {{ v: {values} }}\n    steps:\n");
    job.push_str("      - run: echo begin\n");
    job.extend(conditions.iter().enumerate().map(|(number, condition)| {
        format!("      - if: {condition}\n        run: echo {number} '${{{{ matrix.v }}}}'\n")
    }));
    job
}

/// Which values each condition holds for.
fn decided(values: &str, conditions: &[&str]) -> Vec<Vec<String>> {
    let (lab, source, told) = imported(&matrix(values, conditions));
    assert!(!told.contains("always runs"), "{told}");
    let mut held = vec![Vec::new(); conditions.len()];
    for step in steps(&lab, &source) {
        let command = step["cmd"].as_str().unwrap();
        let Some((_, said)) = command.split_once("echo ") else {
            continue;
        };
        let Some((number, value)) = said.split_once(' ') else {
            continue;
        };
        let value: String = value.chars().filter(|letter| !"'\"".contains(*letter)).collect();
        held[number.parse::<usize>().unwrap()].push(value);
    }
    held
}

#[test]
fn texts_are_compared_without_regard_to_case() {
    let held = decided(
        "[apple, pear]",
        &[
            "matrix.v == 'Apple'",
            "matrix.v != 'APPLE'",
            "startsWith(matrix.v, 'APP')",
            "endsWith(matrix.v, 'EAR')",
            "contains(matrix.v, 'PPL')",
            "contains('Hello', 'hello')",
        ],
    );
    assert_eq!(
        held,
        [
            vec!["apple"],
            vec!["pear"],
            vec!["apple"],
            vec!["pear"],
            vec!["apple"],
            vec!["apple", "pear"]
        ]
    );
}

#[test]
fn values_of_a_matrix_keep_their_kind() {
    let held = decided(
        "[\"0\", \"false\", \"1.0\", \"\"]",
        &["matrix.v", "matrix.v == 1", "matrix.v == '1'", "matrix.v != false"],
    );
    assert_eq!(
        held,
        [vec!["0", "false", "1.0"], vec!["1.0"], vec![], vec!["false", "1.0"]]
    );
    assert_eq!(decided("[0, false, 2]", &["matrix.v"]), [["2"]]);
}

#[test]
fn values_that_can_not_be_told_apart_are_told() {
    let (_lab, _, told) = imported(&matrix("[\"0\", 0]", &["matrix.v"]));
    assert!(
        told.contains("not mapped: `if: matrix.v`; the step always runs"),
        "{told}"
    );
}

#[test]
fn one_side_of_a_condition_may_decide() {
    let job = "  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo first\n";
    let step = |condition: &str| format!("      - if: {condition}\n        run: echo second\n");
    for condition in ["false && github.event.n > 1", "false && fromJSON(x)[0]"] {
        let (lab, source, told) = imported(&format!("{job}{}", step(condition)));
        assert_eq!(steps(&lab, &source).len(), 1, "{source}");
        assert!(
            told.contains(&format!("ci.yml:7: left out: `if: {condition}` is never true here")),
            "{told}"
        );
    }
    let (lab, source, told) = imported(&format!("{job}{}", step("true || github.event.n > 1")));
    assert_eq!(steps(&lab, &source).len(), 2, "{source}");
    assert!(!told.contains("not mapped"), "{told}");
}

#[test]
fn what_needs_a_job_that_never_runs_never_runs() {
    let job = |id: &str, fields: &str| {
        format!("  {id}:\n    runs-on: ubuntu-latest\n{fields}    steps: [{{run: echo {id}}}]\n")
    };
    let jobs = [
        job("last", "    needs: [middle]\n"),
        job("middle", "    needs: never\n"),
        job("never", "    if: false\n"),
        job("report", "    needs: never\n    if: always()\n"),
        job("other", ""),
    ];
    let (lab, source, told) = imported(&jobs.concat());
    let steps = steps(&lab, &source);
    let commands: Vec<&str> = steps.iter().filter_map(|step| step["cmd"].as_str()).collect();
    assert_eq!(commands, ["echo other", "echo report"], "{source}");
    for note in [
        "5: left out: the job `last` needs `middle`, which never runs here",
        "9: left out: the job `middle` needs `never`, which never runs here",
    ] {
        assert!(told.contains(note) && source.contains(note), "{told}\n{source}");
    }
}

#[test]
fn a_matrix_may_decide_the_time() {
    let job = matrix("[5, 10, 0.5]", &["matrix.v"])
        + "        timeout-minutes: ${{ matrix.v }}\n      - run: echo 9\n        \
           timeout-minutes: ${{ github.event.n }}\n      - run: echo 8\n        timeout-minutes: 1.5\n";
    let (lab, source, told) = imported(&job.replace("    steps:", "    timeout-minutes: 7\n    steps:"));
    let all = steps(&lab, &source);
    let times = |command: &str| -> Vec<u64> {
        let these = all
            .iter()
            .filter(|step| step["cmd"].as_str().unwrap().contains(command));
        these.map(|step| step["timeout_seconds"].as_u64().unwrap()).collect()
    };
    assert_eq!(times("echo 0"), [300, 420, 60], "{source}");
    assert_eq!(times("echo 9"), [420, 420, 420], "{source}");
    assert_eq!(times("echo 8"), [120, 120, 120], "{source}");
    for note in [
        "`timeout-minutes: ${{ matrix.v }}` is rounded up to whole minutes",
        "`timeout-minutes: 1.5` is rounded up to whole minutes",
        "not mapped: `timeout-minutes: ${{ github.event.n }}` gives no known minutes, so there is no such limit",
    ] {
        assert!(told.contains(note), "{told}");
    }
}
