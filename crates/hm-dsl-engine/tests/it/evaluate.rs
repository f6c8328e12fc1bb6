//! Files evaluated by the machine's Python.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use hm_dsl_engine::{DslError, EvalSettings, discover, evaluate};

use crate::support::{Project, slugs};

pub(crate) const CI: &str = r#"
import harmont as hm

@hm.pipeline("ci", triggers=[hm.push(branch="main")])
def ci():
    return hm.sh("make", label="build")
"#;

#[test]
fn every_pipeline_comes_with_its_definition_verbatim() {
    let mut project = Project::new(&[
        ("a.py", CI),
        (
            "b.py",
            &CI.replace("ci", "nightly_run").replace("\"nightly_run\", ", ""),
        ),
    ]);
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
    assert_eq!(slugs(&envelope), ["ci", "nightly-run"]);
    let definition = envelope.find("ci").unwrap().definition();
    assert_eq!(
        definition,
        r#"{"version": "0", "graph": {"nodes": [{"step": {"key": "build", "cmd": "make", "label": "build", "image": "ubuntu:24.04"}, "env": {"DEBIAN_FRONTEND": "noninteractive", "TERM": "dumb"}}], "node_holes": [], "edge_property": "directed", "edges": []}}"#
    );
    let json = envelope.to_json();
    assert!(json.contains(definition));
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["schema_version"], "1");
    assert_eq!(
        parsed["pipelines"][0]["triggers"],
        serde_json::json!([{"event": "push", "branches": ["main"]}])
    );
}

#[test]
fn what_user_code_prints_goes_to_the_output() {
    let text = format!(
        "import os, sys, subprocess\nprint('from print')\nsys.stdout.write('from stdout\\n')\nsubprocess.run(['echo', 'from a child'])\nos.write(1, b'from os\\n')\n{CI}"
    );
    let mut project = Project::new(&[("pipeline.py", &text)]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    let printed = String::from_utf8(project.printed.clone()).unwrap();
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["from a child", "from os", "from print", "from stdout"]);
}

#[test]
fn what_is_named_like_a_file_and_is_none_is_told() {
    let mut project = Project::new(&[("d.py", CI)]);
    let folder = project.root().join(".hm");
    std::os::unix::fs::symlink("nowhere", folder.join("a.py")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("b.ts"), rustix::fs::Mode::from(0o644)).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"c\xff.py")), CI).unwrap();
    fs::create_dir(folder.join("folder.py")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join(".hidden.py")).unwrap();
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    let shown = project.shown(&envelope.problems);
    let reasons = [
        "it is a link that leads nowhere",
        "it is no regular file",
        "its name is no UTF-8",
    ];
    assert_eq!(shown.len(), reasons.len(), "{shown:?}");
    for ((shown, name), reason) in shown.iter().zip(["a.py", "b.ts", "c"]).zip(reasons) {
        assert!(
            shown.starts_with(name) && shown.contains(reason) && shown.contains("fix: "),
            "{shown}"
        );
    }
}

#[test]
fn what_is_not_read_is_told_where_nothing_else_declares_a_pipeline() {
    let names = [
        "a.mts",
        "b.js",
        "c.TS",
        "d.tsx",
        "types.d.mts",
        "lib.mjs",
        ".hidden.mts",
        "notes.md",
        "stub.pyi",
    ];
    let files = names.map(|name| (name, "export default [];\n"));
    let mut project = Project::new(&files);
    project.write(".hm/helper.ts", "export * from './lib.mjs'; // #!/bin/sh\n");
    let envelope = project.evaluate();
    let told = |suffix: &str| {
        format!(
            "hm: this file is left out: pipelines are read from files named *.py and *.ts, not *.{suffix}\n  fix: mv .hm/"
        )
    };
    assert_eq!(
        project.shown(&envelope.problems),
        [
            format!("a.mts: {}a.mts .hm/a.ts", told("mts")),
            format!("b.js: {}b.js .hm/b.ts", told("js")),
            format!("c.TS: {}c.TS .hm/c.ts", told("TS")),
            format!("d.tsx: {}d.tsx .hm/d.ts", told("tsx")),
        ]
    );
    project.write(".hm/ci.py", CI);
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [""; 0]);
}

#[test]
fn a_folder_may_have_any_name() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join(OsStr::from_bytes(b"f\xff")).join(".hm");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.py"), CI).unwrap();
    fs::write(folder.join("b.py"), "\n1 / 0\n").unwrap();
    fs::write(folder.join("c.py"), "import harmont as hm\nhm.sh('x', cwd='')\n").unwrap();
    let dir = discover(&folder).unwrap().unwrap();
    let path = std::env::vars().filter(|(name, _)| name == "PATH").collect();
    let settings = EvalSettings::new(path, temp.path().join("cache"));
    let envelope = evaluate(&dir, &settings, &mut Vec::new()).unwrap();
    assert_eq!(slugs(&envelope), ["ci"]);
    let told: Vec<_> = envelope
        .problems
        .iter()
        .map(|problem| (problem.line, problem.message.as_str()))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], (Some(2), "ZeroDivisionError: division by zero"));
    assert_eq!(told[1].0, Some(2));
}

#[test]
fn files_are_modules_that_can_import_each_other() {
    let mut project = Project::new(&[
        (
            "a_first.py",
            "import z_shared\nfrom dataclasses import dataclass\n@dataclass\nclass Own:\n    x: 'int'\nz_shared.SEEN.append(Own(1))\n",
        ),
        (
            "json.py",
            "import harmont as hm\n@hm.pipeline('named-like-a-library')\ndef p(): return hm.sh('a')\n",
        ),
        (
            "my-file.py",
            "import harmont as hm, sys\nassert sys.modules[__name__].__file__ == __file__\n",
        ),
        ("z_shared.py", &format!("{CI}\nimport outside\nSEEN = []\n")),
    ]);
    project.write("lib/outside.py", "");
    let library = project.root().join("lib");
    project.set("PYTHONPATH", library);
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
    assert_eq!(slugs(&envelope), ["ci", "named-like-a-library"]);
    assert!(!project.root().join(".hm/__pycache__").exists());
}

#[test]
fn a_file_hides_no_library_of_its_name() {
    let mut project = Project::new(&[
        ("functools.py", "raise ValueError('first')\n"),
        ("traceback.py", "import harmont as hm\nfrom shared import VALUE\n"),
        ("shared.py", "VALUE = 1\n"),
        ("z.py", &format!("{CI}\nimport functools\nassert functools.cache\n")),
    ]);
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), ["functools.py:1: ValueError: first"]);
    assert_eq!(slugs(&envelope), ["ci"]);
}

#[test]
fn only_the_given_environment_is_seen() {
    let text = "import harmont as hm, os\n@hm.pipeline\ndef p(): return hm.sh(os.environ['MINE'] + str('HOME' in os.environ))\n";
    let mut project = Project::new(&[("pipeline.py", text)]);
    project.set("MINE", "yes-");
    let envelope = project.evaluate();
    assert!(envelope.find("p").unwrap().definition().contains("yes-False"));
}

#[test]
fn installed_packages_are_found_when_they_are_imported() {
    let text = format!("import installed_thing\n{CI}");
    let mut project = Project::new(&[("pipeline.py", &text)]);
    let lost = project.evaluate();
    assert_eq!(
        project.shown(&lost.problems),
        ["pipeline.py:1: ModuleNotFoundError: No module named 'installed_thing'"]
    );

    project.virtual_env(
        ".venv",
        &[("installed_thing/__init__.py", ""), ("harmont.py", "raise SystemError")],
    );
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
    assert_eq!(slugs(&envelope), ["ci"]);
}

#[test]
fn an_installed_sdk_wins_on_request_only() {
    let mut project = Project::new(&[("pipeline.py", "import harmont\n")]);
    let installed = "def dump_registry_json():\n    return '{\"schema_version\": \"1\", \"pipelines\": [{\"slug\": \"theirs\", \"name\": \"theirs\", \"allow_manual\": true, \"triggers\": [], \"definition\": {}}]}'\n";
    project.virtual_env("env", &[("harmont.py", installed)]);
    let active = project.root().join("env");
    project.set("VIRTUAL_ENV", active);
    assert_eq!(slugs(&project.evaluate()), [] as [&str; 0]);
    project.set("HM_SDK", "installed");
    assert_eq!(slugs(&project.evaluate()), ["theirs"]);
}

#[test]
fn a_process_left_behind_does_not_hold_the_evaluation() {
    let text =
        format!("import os, subprocess\nos.mkfifo('gate')\nsubprocess.Popen(['sh', '-c', 'read line < gate'])\n{CI}");
    let mut project = Project::new(&[("pipeline.py", &text)]);
    assert_eq!(slugs(&project.evaluate()), ["ci"]);
    fs::write(project.root().join("gate"), "go\n").unwrap();
}

#[test]
fn a_python_that_is_too_old_is_named_with_its_version() {
    let mut project = Project::new(&[("pipeline.py", CI)]);
    let old = project.script("old", "#!/bin/sh\nprintf '{\"too_old\":\"3.9.1\"}'\n");
    project.set("HM_PYTHON", &old);
    let error = project.try_evaluate().unwrap_err();
    assert!(
        matches!(&error, DslError::PythonTooOld { version, .. } if version == "3.9.1"),
        "{error}"
    );
    assert_eq!(error.fix().unwrap(), "set HM_PYTHON to a Python 3.11 or newer");
}

#[test]
fn a_newer_python_in_path_is_taken_when_python3_is_too_old() {
    let mut project = Project::new(&[("pipeline.py", CI)]);
    project.script("bin/python3", "#!/bin/sh\nprintf '{\"too_old\":\"3.9.1\"}'\n");
    let path = project.env["PATH"].clone();
    project.script(
        "bin/python3.14",
        &format!("#!/bin/sh\nPATH='{path}' exec python3 \"$@\"\n"),
    );
    let bin = project.root().join("bin");
    project.set("PATH", format!("{}:{path}", bin.display()));
    assert_eq!(slugs(&project.evaluate()), ["ci"]);
}

#[test]
fn an_interpreter_that_dies_is_quoted() {
    let mut project = Project::new(&[("pipeline.py", CI)]);
    let dies = project.script("dies", "#!/bin/sh\necho 'no such version' >&2\nexit 3\n");
    project.set("HM_PYTHON", &dies);
    let error = project.try_evaluate().unwrap_err();
    let shown = error.to_string().replace(&dies.display().to_string(), "PYTHON");
    assert_eq!(
        shown,
        "Python ended without a report (PYTHON, exit status: 3); it printed last:\nno such version"
    );
    assert_eq!(project.printed, b"no such version\n");
}

#[test]
fn user_code_reads_nothing_from_stdin() {
    let text = format!("import sys, os\nassert sys.stdin.read() == ''\nassert os.read(0, 1) == b''\n{CI}");
    let mut project = Project::new(&[("pipeline.py", &text)]);
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
}

#[test]
fn without_files_no_python_is_started() {
    let mut project = Project::new(&[]);
    project.env.clear();
    assert_eq!(project.evaluate().to_json(), r#"{"schema_version":"1","pipelines":[]}"#);
}

#[test]
fn byte_code_is_kept_whatever_the_user_says_about_it() {
    let mut project = Project::new(&[("pipeline.py", CI)]);
    project.set("PYTHONDONTWRITEBYTECODE", "1");
    project.set("PYTHONPYCACHEPREFIX", "/nonexistent");
    assert_eq!(slugs(&project.evaluate()), ["ci"]);
    let sdk = fs::read_dir(project.cache()).unwrap().next().unwrap().unwrap().path();
    let compiled = fs::read_dir(sdk.join("harmont/__pycache__")).unwrap().count();
    let sources = fs::read_dir(sdk.join("harmont")).unwrap().count() - 1;
    assert_eq!(compiled, sources);
}
