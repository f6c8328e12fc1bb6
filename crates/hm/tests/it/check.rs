//! `hm check`: every problem of every pipeline, and none of it run.

use serde_json::Value;

use crate::support::Lab;

const SOUND: &str = "import harmont as hm

@hm.pipeline('sound', default_image='host')
def sound():
    return hm.sh('touch /workspace/ran', label='say')
";

/// Line 6 raises.
const RAISES: &str = "import harmont as hm


@hm.pipeline('raises')
def raises():
    raise ValueError('no such thing')
";

/// The IR has no variable with a NUL in it, which the SDK does not see.
const REFUSED: &str = "import harmont as hm

@hm.pipeline('refused')
def refused():
    return [
        hm.sh('true', env={'A': 'x\\0'}),
        hm.sh('false', env={'B': 'y\\0'}),
    ]
";

/// The image of a step that continues another has no effect.
const ODD: &str = "import harmont as hm

@hm.pipeline('odd')
def odd():
    return hm.sh('true').sh('false', image='debian:12')
";

struct Checked {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn check(lab: &Lab, flags: &[&str]) -> Checked {
    let output = lab.hm().arg("check").args(flags).output().unwrap();
    Checked {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn sound_pipelines_pass_and_nothing_runs() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", SOUND);
    let checked = check(&lab, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert_eq!(
        checked.stdout,
        ".hm/ci.py: sound: ok, 1 step\n1 pipeline: 0 problems, 0 warnings\n"
    );
    assert!(!lab.tree().join("ran").exists());
    assert!(!lab.store().exists(), "a check needs no store");
}

#[test]
fn problems_of_all_files_and_documents_are_told_at_once() {
    let lab = Lab::new();
    lab.write(".hm/a_syntax.py", "def broken(:\n");
    lab.write(".hm/b_raises.py", RAISES);
    lab.write(".hm/c_refused.py", REFUSED);
    lab.write(".hm/d_odd.py", ODD);
    lab.write(".hm/e_sound.py", SOUND);
    lab.write(".hm/f_broken.ts", "export default [\n  1 +* 2,\n];\n");
    let checked = check(&lab, &[]);
    assert_eq!(checked.code, Some(2), "{}", checked.stdout);
    for part in [
        ".hm/a_syntax.py:1: error: ",
        ".hm/b_raises.py:6: error: raises: ValueError: no such thing",
        ".hm/c_refused.py:6: error: refused: /graph/nodes/0/",
        ".hm/c_refused.py:7: error: refused: /graph/nodes/1/",
        ".hm/d_odd.py:5: warning: odd: /graph/nodes/1/step/image: ",
        ".hm/d_odd.py: odd: ok, 2 steps",
        ".hm/e_sound.py: sound: ok, 1 step",
        ".hm/f_broken.ts:2: error: ",
    ] {
        assert!(checked.stdout.contains(part), "{part} in {}", checked.stdout);
    }
    assert!(!checked.stdout.contains("refused: ok"), "{}", checked.stdout);
}

/// Lines 4 and 6 make what is refused, line 7 what has no effect.
const REFUSED_TYPESCRIPT: &str = "import { pipeline, sh } from '@harmont/hm';
type Env = Record<string, string>;
const env: Env = { A: 'x\\0' };
const first = sh('true', { env });
const steps = [1, 2].map((n) =>
  first.sh(`echo ${n}\\0`));
const odd = first.sh('odd', { image: 'debian:12' });
export default { slug: 'refused', pipeline: pipeline([...steps, odd]) };
";

#[test]
fn a_lock_that_a_merge_left_in_pieces_is_a_problem() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", SOUND);
    lab.write(
        ".hm/images.lock",
        "{\n  \"version\": 1,\n<<<<<<< ours\n  \"images\": {}\n}\n",
    );
    let checked = check(&lab, &[]);
    assert_eq!(checked.code, Some(2), "{}{}", checked.stdout, checked.stderr);
    assert!(
        checked.stdout.contains(".hm/images.lock:3: error: "),
        "{}",
        checked.stdout
    );
    assert!(checked.stdout.contains("1 problem,"), "{}", checked.stdout);
}

#[test]
fn what_is_refused_is_at_its_line_in_typescript_too() {
    for runtime in ["embedded", "node"] {
        let lab = Lab::new();
        lab.write(".hm/ci.ts", REFUSED_TYPESCRIPT);
        let output = lab.hm().arg("check").env("HM_TS_RUNTIME", runtime).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        for part in [
            ".hm/ci.ts:4: error: refused: /graph/nodes/0/env/A: ",
            ".hm/ci.ts:6: error: refused: /graph/nodes/1/step/cmd: ",
            ".hm/ci.ts:6: error: refused: /graph/nodes/2/step/cmd: ",
        ] {
            assert!(stdout.contains(part), "{part} in {stdout} with {runtime}");
        }
    }
}

#[test]
fn every_command_that_refuses_a_document_names_the_line() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", REFUSED);
    let file = lab.tree().canonicalize().unwrap().join(".hm/ci.py");
    for command in ["run", "render", "graph"] {
        let output = lab.hm().arg(command).output().unwrap();
        assert_eq!(output.status.code(), Some(7));
        let stderr = String::from_utf8(output.stderr).unwrap();
        for (line, node) in [(6, 0), (7, 1)] {
            let cause = format!("cause: {}:{line}: /graph/nodes/{node}/env/", file.display());
            assert!(stderr.contains(&cause), "{cause} in {stderr} of {command}");
        }
    }
    lab.write(".hm/ci.py", ODD);
    // There is no such engine, so the build ends after the warning.
    let mut command = lab.hm();
    command
        .args(["run", "--backend", "docker"])
        .env("DOCKER_HOST", "unix:///nowhere");
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let warning = format!("warning: {}:5: /graph/nodes/1/step/image: ", file.display());
    assert!(stderr.contains(&warning), "{stderr}");
}

#[test]
fn what_a_terminal_would_obey_is_spelled_out() {
    const HOSTILE: &str = "\\x1b[2J\\u202e\\x9b";
    let lab = Lab::new();
    lab.write(".hm/a.py", &format!("raise ValueError('{HOSTILE}')\n"));
    lab.write(
        ".hm/b.py",
        &format!(
            "import harmont as hm\n@hm.pipeline('b')\ndef b():\n    return hm.sh('true', label='l{HOSTILE}').sh('x', image='i{HOSTILE}')\n"
        ),
    );
    lab.write(
        ".hm/c.ts",
        &format!("import {{ sh }} from '@harmont/hm';\nexport default {{ slug: 'c', pipeline: () => sh('true', {{ label: 'l{HOSTILE}' }}) }};\n"),
    );
    let graphs = ["text", "dot", "mermaid", "svg"].map(|format| ["graph", "b", "--format", format]);
    let commands = [
        &["check"][..],
        &["render", "b"],
        &["render", "c"],
        &["pipelines"],
        &["run", "nothing"],
    ];
    for arguments in commands.into_iter().chain(graphs.iter().map(|graph| &graph[..])) {
        let output = lab.hm().args(arguments).output().unwrap();
        for stream in [output.stdout, output.stderr] {
            let text = String::from_utf8(stream).unwrap();
            let hidden = text
                .chars()
                .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(hidden, None, "{arguments:?}: {text:?}");
        }
    }
    let checked = check(&lab, &[]);
    assert!(
        checked.stdout.contains("ValueError: \\x1b[2J\\u{202e}\\u{9b}"),
        "{}",
        checked.stdout
    );
}

#[test]
fn the_fix_is_the_command_that_failed() {
    let lab = Lab::new();
    let fixes = |arguments: &[&str]| {
        let output = lab.hm().args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let fixes = stderr.lines().filter_map(|line| line.trim().strip_prefix("fix: "));
        fixes.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        fixes(&["init", "--dir", "nowhere"]),
        ["hm init --dir FOLDER, with a folder that exists"]
    );
    assert_eq!(fixes(&["graph"]).last().unwrap(), "hm graph --ir FILE");
    lab.write(".hm/a.py", SOUND);
    lab.write(".hm/b.py", ODD);
    for command in ["graph", "render", "run"] {
        assert_eq!(fixes(&[command]), [format!("hm {command} sound")]);
        assert_eq!(fixes(&[command, "other"]), [format!("hm {command} sound")]);
    }
}

#[test]
fn a_broken_file_beside_the_pipeline_that_is_not_there_is_told() {
    let lab = Lab::new();
    let told = |arguments: &[&str], code: i32| {
        let output = lab.hm().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let folder = lab.tree().canonicalize().unwrap().join(".hm/");
        String::from_utf8(output.stderr)
            .unwrap()
            .replace(&*folder.to_string_lossy(), "")
    };
    lab.write(".hm/a.py", SOUND);
    lab.write(".hm/b.py", RAISES);
    lab.write(".hm/c.py", "nothing\n");
    assert_eq!(
        told(&["graph", "nope"], 2),
        "error[pipeline_source]: there is no pipeline \"nope\" in what can be read of .hm/\n\
         \x20 cause: declared are: sound\n\
         \x20 cause: b.py:6: pipeline \"raises\": ValueError: no such thing\n\
         \x20 cause: c.py:1: NameError: name 'nothing' is not defined\n\
         \x20 fix: hm graph sound\n\
         \x20 fix: where one of these files declares \"nope\", mend it and give the command again\n"
    );
    assert_eq!(
        told(&["graph", "raises"], 2),
        "error[pipeline_source]: the pipeline \"raises\" can't be read\n\
         \x20 cause: b.py:6: pipeline \"raises\": ValueError: no such thing\n\
         \x20 fix: mend the file and run `hm pipelines` to see what it declares\n"
    );
    assert!(told(&["graph", "sound"], 0).contains("warning: b.py:6: "));
}

#[test]
fn a_file_that_takes_long_is_named_meanwhile() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", &format!("import time\ntime.sleep(4)\n{SOUND}"));
    let checked = check(&lab, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    let file = lab.tree().canonicalize().unwrap().join(".hm/ci.py");
    assert_eq!(
        checked.stderr,
        format!("note: {} is still being evaluated\n", file.display())
    );
}

#[test]
fn a_refused_document_alone_is_a_rejection() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", REFUSED);
    assert_eq!(check(&lab, &[]).code, Some(7));
}

#[test]
fn warnings_fail_only_where_that_is_asked_for() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", ODD);
    assert_eq!(check(&lab, &[]).code, Some(0));
    assert_eq!(check(&lab, &["--strict"]).code, Some(7));
}

#[test]
fn the_json_form_is_one_object() {
    let lab = Lab::new();
    lab.write(".hm/b_raises.py", RAISES);
    lab.write(".hm/c_refused.py", REFUSED);
    let checked = check(&lab, &["--format", "json"]);
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(report["exit_code"], 2);
    assert_eq!(report["pipelines"][0]["slug"], "refused");
    assert_eq!(report["pipelines"][0]["valid"], false);
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 3, "{report:#}");
    assert_eq!(findings[0]["kind"], "source");
    assert_eq!(findings[0]["line"], 6);
    assert_eq!(findings[1]["kind"], "rejected");
    assert_eq!(findings[1]["pipeline"], "refused");
    assert!(findings[1]["file"].as_str().unwrap().ends_with(".hm/c_refused.py"));
    assert_eq!(findings[1]["line"], 6);
    assert_eq!(findings[2]["line"], 7);
}

#[test]
fn a_folder_is_seen_from_where_the_user_stands() {
    let lab = Lab::new();
    lab.write(".hm/ci.py", RAISES);
    lab.write("deep/inside/file", "");
    let output = lab
        .hm()
        .current_dir(lab.tree().join("deep"))
        .arg("check")
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let absolute = lab.tree().canonicalize().unwrap().join(".hm/ci.py");
    assert!(
        stdout.starts_with(&format!("{}:6: error", absolute.display())),
        "{stdout}"
    );
}

#[test]
fn nothing_to_check_is_not_found() {
    let lab = Lab::new();
    assert_eq!(check(&lab, &[]).code, Some(5));
    lab.write(".hm/empty.py", "");
    let checked = check(&lab, &["--format", "json"]);
    assert_eq!(checked.code, Some(5));
    let error: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(error["code"], "pipelines_missing");
}
