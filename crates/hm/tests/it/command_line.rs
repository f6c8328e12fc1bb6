//! `hm pipelines`, `hm render`, `hm schema`, `hm version`, and `hm run` without a document.

use serde_json::Value;

use crate::support::{Lab, Run};

const TWO: &str = "import harmont as hm

@hm.pipeline('one', default_image='host')
def one():
    return hm.sh('echo from one', label='say')

@hm.pipeline('two', triggers=[hm.push(branch='main')])
def two():
    return hm.sh('true')
";

const ONE: &str = "import harmont as hm

@hm.pipeline('only', default_image='host')
def only():
    return hm.sh('echo hello', label='say')
";

fn stdout(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.hm().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_hm_folder_is_an_empty_list() {
    assert_eq!(
        stdout(&Lab::new(), &["pipelines"]).trim(),
        r#"{"schema_version":"1","pipelines":[]}"#
    );
}

#[test]
fn pipelines_lists_what_is_declared_with_definitions() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", TWO);
    let envelope: Value = serde_json::from_str(&stdout(&lab, &["pipelines"])).unwrap();
    assert_eq!(envelope["schema_version"], "1");
    assert_eq!(envelope["pipelines"][0]["slug"], "one");
    assert_eq!(envelope["pipelines"][1]["triggers"][0]["event"], "push");
    assert_eq!(envelope["pipelines"][0]["definition"]["version"], "0");
}

#[test]
fn render_prints_one_definition_that_run_takes() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", ONE);
    let ir = stdout(&lab, &["render", "only"]);
    assert_eq!(ir, stdout(&lab, &["render"]), "one declared pipeline needs no slug");
    std::fs::write(lab.path("ir.json"), &ir).unwrap();
    let run = Run::of(
        &lab.hm()
            .args(["run", "--format", "json", "--ir"])
            .arg(lab.path("ir.json"))
            .output()
            .unwrap(),
    );
    assert_eq!(run.passed().stdout("say"), ["hello"]);
}

#[test]
fn run_takes_the_only_pipeline_and_one_by_slug() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", ONE);
    let only = Run::of(&lab.hm().args(["run", "--format", "json"]).output().unwrap());
    assert_eq!(only.passed().stdout("say"), ["hello"]);
    lab.write(".hm/ci.py", TWO);
    let several = Run::of(&lab.hm().args(["run", "--format", "json"]).output().unwrap());
    assert_eq!(several.code, Some(2), "{several:#?}");
    assert!(
        several.events[0].to_string().contains("two"),
        "they are listed: {several:#?}"
    );
    let named = Run::of(&lab.hm().args(["run", "one", "--format", "json"]).output().unwrap());
    assert_eq!(named.passed().stdout("say"), ["from one"]);
}

#[test]
fn a_document_can_come_from_standard_input() {
    let lab = Lab::new();
    let ir = crate::support::Ir::new()
        .step("s", "echo piped")
        .render(&format!("dir:{}", lab.root().display()));
    std::fs::write(lab.path("in"), ir).unwrap();
    let mut command = lab.hm();
    command
        .args(["run", "--format", "json", "--ir", "-"])
        .stdin(std::fs::File::open(lab.path("in")).unwrap());
    assert_eq!(Run::of(&command.output().unwrap()).passed().stdout("s"), ["piped"]);
}

#[test]
fn an_image_on_the_command_line_replaces_that_of_every_root() {
    let lab = Lab::new();
    let ir = crate::support::Ir::new()
        .step("s", "busybox | head -n 1")
        .with("image", "dir:/no/such".into());
    let image = format!("dir:{}", lab.root().display());
    lab.run_with(&ir, &["--image", &image]).passed();
}

#[test]
fn a_typescript_pipeline_runs_without_a_runtime() {
    let lab = Lab::new();
    lab.write(
        ".hm/ci.ts",
        "import { sh, type PipelineDefinition } from '@harmont/hm';
import { pipeline } from '@harmont/hm';
const said: string = 'typed';
export default { slug: 'ci', pipeline: pipeline([sh(`echo ${said}`, { label: 'say', image: 'host' })]) } satisfies PipelineDefinition;
",
    );
    let mut command = lab.hm();
    // Nothing to run TypeScript with can be found.
    command.args(["run", "--format", "json"]).env("PATH", "/nowhere");
    assert_eq!(Run::of(&command.output().unwrap()).passed().stdout("say"), ["typed"]);
}

#[test]
fn schemas_are_json() {
    let lab = Lab::new();
    for document in ["ir", "events"] {
        let schema: Value = serde_json::from_str(&stdout(&lab, &["schema", document])).unwrap();
        assert!(schema["$schema"].is_string(), "{document}");
    }
}

#[test]
fn version_names_the_program() {
    assert_eq!(
        stdout(&Lab::new(), &["version"]),
        format!("hm {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_human_format_tells_what_happened() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", ONE);
    let text = stdout(&lab, &["run", "--format", "human"]);
    assert!(text.contains("hello") && text.contains("say"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour into a pipe: {text:?}");
}

#[test]
fn doctor_tells_what_this_machine_can_do() {
    let lab = Lab::new();
    let output = lab.hm().args(["doctor", "--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = |what: &str| found.iter().find(|finding| finding["what"] == what).unwrap()["state"].clone();
    for what in ["kernel", "overlayfs", "namespaces", "python"] {
        assert_eq!(state(what), "ok", "{text}");
    }
    assert!(
        found
            .iter()
            .all(|finding| finding["state"] == "ok" || !finding["fix"].is_null()),
        "{text}"
    );
    let human = lab.hm().arg("doctor").output().unwrap();
    assert!(
        String::from_utf8(human.stdout)
            .unwrap()
            .starts_with("ok    kernel            ")
    );
    let confined = lab.hm().args(["doctor", "--sandbox"]).output().unwrap();
    assert!(String::from_utf8(confined.stdout).unwrap().contains("seccomp mode 2"));
}
