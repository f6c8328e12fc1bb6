//! The conformance corpus and the SDK's own tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hm_pipeline_ir::Pipeline;
use serde_json::{Value, json};

use crate::support::Project;

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../sdk")
        .canonicalize()
        .unwrap()
}

fn cases() -> Vec<PathBuf> {
    let folders = ["same", "fixed"].map(|name| sdk().join("conformance").join(name));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect()
}

#[test]
fn the_conformance_corpus_renders_as_expected() {
    let cases = cases();
    let mut project = Project::new(&[]);
    let mut wrong = Vec::new();
    for case in &cases {
        let expected: Value = serde_json::from_slice(&fs::read(case.with_extension("json")).unwrap()).unwrap();
        project.write(".hm/pipeline.py", &fs::read_to_string(case).unwrap());
        let envelope = project.evaluate();
        for pipeline in &envelope.pipelines {
            Pipeline::parse(pipeline.definition().as_bytes()).unwrap();
        }
        let rendered: Value = match envelope.problems.as_slice() {
            [] => serde_json::from_str(&envelope.to_json()).unwrap(),
            [problem, ..] => json!({ "error": problem.message }),
        };
        if rendered != expected {
            wrong.push(format!(
                "{}\n  expected {expected}\n  rendered {rendered}",
                case.display()
            ));
        }
    }
    assert!(cases.len() > 10 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cases about what only Python has.
const PYTHON_ONLY: [&str; 1] = ["slug_of_function"];

#[test]
fn the_conformance_corpus_renders_alike_in_typescript() {
    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.file_stem().unwrap().to_str().unwrap();
        if PYTHON_ONLY.contains(&name) {
            continue;
        }
        let expected: Value = serde_json::from_slice(&fs::read(case.with_extension("json")).unwrap()).unwrap();
        let text = fs::read_to_string(case.with_extension("ts")).unwrap();
        for runtime in ["embedded", "node"] {
            let mut project = Project::new(&[("pipeline.ts", &text)]);
            project.set("HM_TS_RUNTIME", runtime);
            let envelope = project.evaluate();
            for pipeline in &envelope.pipelines {
                Pipeline::parse(pipeline.definition().as_bytes()).unwrap();
            }
            let rendered: Value = serde_json::from_str(&envelope.to_json()).unwrap();
            let alike = match (envelope.problems.as_slice(), expected["error"].as_str()) {
                ([], None) => rendered == expected,
                ([problem], Some(error)) => first_line(&problem.message) == first_line(error),
                _ => false,
            };
            if !alike {
                let problems = project.shown(&envelope.problems);
                wrong.push(format!(
                    "{} in {runtime}\n  expected {expected}\n  rendered {rendered} {problems:?}",
                    case.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first line of a message, whose values each language quotes in its own way.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().replace('\'', "\"")
}

#[test]
fn the_hello_example_is_a_pipeline() {
    let text = fs::read_to_string(sdk().join("../examples/hello/.hm/pipeline.py")).unwrap();
    let mut project = Project::new(&[("pipeline.py", &text)]);
    let envelope = project.evaluate();
    let pipeline = Pipeline::parse(envelope.find("hello").unwrap().definition().as_bytes()).unwrap();
    assert_eq!(pipeline.graph().len(), 4);
    assert!(pipeline.warnings().is_empty(), "{:?}", pipeline.warnings());
}

#[test]
fn the_unit_tests_of_the_python_sdk_pass() {
    let output = Command::new("python3")
        .args(["-m", "unittest", "discover", "-s", "tests", "-t", "."])
        .current_dir(sdk().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_tests_that_the_typescript_reference_names_are_there() {
    let root = sdk().join("..");
    let page = fs::read_to_string(root.join("docs/reference/typescript.md")).unwrap();
    let (_, table) = page.split_once("| difference | test |\n|---|---|\n").unwrap();
    let file = |name: &str| fs::read_to_string(root.join("crates/hm-dsl-engine/tests/it").join(name)).unwrap();
    let tests = file("typescript.rs") + &file("typescript_errors.rs");
    let mut named = Vec::new();
    for row in table.lines() {
        let (_, cell) = row.trim_matches('|').rsplit_once('|').unwrap();
        for name in cell.split('`').skip(1).step_by(2) {
            let there = if name.contains('/') {
                sdk().join("conformance").join(format!("{name}.ts")).is_file()
            } else {
                tests.contains(&format!("fn {name}("))
            };
            assert!(there, "{name}");
            named.push(name.to_owned());
        }
    }
    for case in cases() {
        let name = case.file_stem().unwrap().to_str().unwrap();
        let fixed = case.parent().unwrap().ends_with("fixed") && !PYTHON_ONLY.contains(&name);
        assert!(
            !fixed || named.contains(&format!("fixed/{name}")),
            "{name} is in no row"
        );
    }
}
