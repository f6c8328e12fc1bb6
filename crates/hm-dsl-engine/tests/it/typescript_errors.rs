//! What is wrong with TypeScript files, and what they may use, in the built-in engine and in the machine's Node.

use std::time::{Duration, Instant};

use hm_dsl_engine::{DslError, EvalSettings, TypeScriptLimits, discover, evaluate_within};

use crate::support::{Project, slugs, starts_with_each};
use crate::typescript::{CI, DEFINITION, commands, node};

fn with_limits(project: &mut Project, limits: TypeScriptLimits) -> Vec<String> {
    let dir = discover(&project.root()).unwrap().unwrap();
    let settings = EvalSettings::new(project.env.clone(), project.cache());
    let envelope = evaluate_within(&dir, &settings, limits, &mut Vec::new()).unwrap();
    project.shown(&envelope.problems).into_iter().collect()
}

#[test]
fn a_broken_file_names_its_line_and_hides_no_other() {
    let mut project = Project::new(&[
        ("a_syntax.ts", "import { sh } from '@harmont/hm';\n\nconst x: = 1;\n"),
        (
            "b_throws.ts",
            "interface A {\n  a: string;\n}\n\nconst a: A | undefined = undefined;\nfunction f(): string {\n  return a!.a;\n}\nf();\nexport default [];\n",
        ),
        (
            "c_sdk.ts",
            "import { sh, type Step } from '@harmont/hm';\ntype S = Step;\n\nexport const step: S =\n  sh('x', { cwd: '' });\n",
        ),
        ("d_shape.ts", "export default 'ci';\n"),
        ("e_nothing.ts", "const pipelines = [];\n"),
        (
            "f_export.ts",
            "import {\n  pipelin,\n} from '@harmont/hm';\nexport default pipelin;\n",
        ),
        ("g_missing.ts", "\nimport './missing.ts';\n"),
        (
            "h_nested.ts",
            "import { x } from './lib/broken.ts';\nexport default x;\n",
        ),
        (
            "i_option.ts",
            "import { sh } from '@harmont/hm';\nexport const a = sh('x', { lable: 'a' } as object);\n",
        ),
        (
            "i_text.ts",
            "import { sh } from '@harmont/hm';\nexport const a = sh('x', { label: 5 as unknown as string });\n",
        ),
        ("j_string.ts", "\nthrow 'no error';\n"),
        (
            "j_value.ts",
            "import { sh } from '@harmont/hm';\nconst why = `no ${1} error`;\nif (!sh) throw new Error(why);\nif (sh) throw why;\n",
        ),
        (
            "j_within.ts",
            "import { sh } from '@harmont/hm';\n\nexport default {\n  slug: 'within',\n  pipeline: () => {\n    throw 5;\n  },\n};\n",
        ),
        ("k_exit.ts", "process.exit(3);\n"),
        ("l_waits.ts", "await new Promise(() => {});\n"),
        (
            "m_async.ts",
            "export const f = async () => {\n  await 1;\n  throw new RangeError('late');\n};\nawait f();\n",
        ),
        (
            "n_forgets.ts",
            "const fail = async () => {\n  await 1;\n  throw new RangeError('nobody waits');\n};\nfail();\nexport default [];\n",
        ),
        (
            "o_late.ts",
            "const p = Promise.reject(new Error('handled'));\nawait 1;\nawait p.catch(() => {});\nexport default [];\n",
        ),
        ("z_good.ts", CI),
    ]);
    project.write(".hm/lib/broken.ts", "export const x = 1;\nlet y = ;\n");
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    let shown = project.shown(&envelope.problems);
    let expected = [
        ("a_syntax.ts:3", "SyntaxError: "),
        ("b_throws.ts:7", "TypeError: cannot read property 'a' of undefined"),
        ("c_sdk.ts:5", "hm: cwd must not be empty"),
        ("d_shape.ts:1", "hm: a file exports pipeline definitions, not \"ci\""),
        ("e_nothing.ts", "hm: the file exports nothing"),
        (
            "f_export.ts:2",
            "hm: \"@harmont/hm\" has no \"pipelin\"\n  fix: import { pipeline }",
        ),
        (
            "g_missing.ts:2",
            "hm: cannot import \"./missing.ts\": there is no such file",
        ),
        ("i_option.ts:2", "hm: sh has no option \"lable\""),
        ("i_text.ts:2", "hm: label must be a string, not 5"),
        ("j_string.ts:2", "hm: the file throws no error"),
        ("j_value.ts:4", "hm: the file throws no 1 error"),
        ("j_within.ts:6", "pipeline \"within\": hm: the file throws 5"),
        ("k_exit.ts:1", "hm: the file ends the evaluation: process.exit(3)"),
        ("l_waits.ts", "hm: the file waits for a promise"),
        ("lib/broken.ts:2", "SyntaxError: "),
        ("m_async.ts:3", "RangeError: late"),
        ("n_forgets.ts:3", "RangeError: nobody waits"),
    ];
    starts_with_each(&shown, &expected.map(|(place, message)| format!("{place}: {message}")));
}

#[test]
fn one_pipeline_that_fails_hides_no_other_of_its_file() {
    let mut project = Project::new(&[(
        "ci.ts",
        r#"import { sh, pipeline, timeout, wait } from "@harmont/hm";
export default [
  { slug: "one", pipeline: () => timeout("1m", wait()) },
  { slug: "two", pipeline: pipeline([sh("two")]) },
  { slug: "two", pipeline: pipeline([sh("again")]) },
  { slug: "Three", pipeline: pipeline([sh("x")]) },
  { slug: "four", pipeline: () => [] },
  { slug: "five", pipelines: [] },
  { slug: "six", pipeline: async () => sh("six") },
];
"#,
    )]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["two", "six"]);
    let shown = project.shown(&envelope.problems);
    let expected = [
        "ci.ts:3: pipeline \"one\": hm.timeout: a wait() has no budget",
        "ci.ts:4: pipeline \"two\": hm: two pipelines have the slug \"two\"",
        "ci.ts:6: hm: \"Three\" is no slug of a pipeline",
        "ci.ts:7: pipeline \"four\": hm: a pipeline needs at least one step",
        "ci.ts:8: hm: the pipeline \"five\" has no option \"pipelines\"",
    ];
    starts_with_each(&shown, &expected.map(str::to_owned));
}

#[test]
fn waits_make_no_more_edges_than_a_document_may_have() {
    let text = "import { pipeline, sh, wait } from '@harmont/hm';\n\
                const steps = (count: number) => Array.from({ length: count }, (_, n) => sh(`echo ${n}`, { label: `${count} ${n}` }));\n\
                export default { slug: 'ci', pipeline: () => pipeline([...steps(1000), wait(), ...steps(1001)]) };\n";
    let mut project = Project::new(&[("ci.ts", text)]);
    let envelope = project.evaluate();
    let [problem] = &envelope.problems[..] else {
        panic!("{:?}", envelope.problems);
    };
    assert!(
        problem
            .message
            .contains("each of the 1000 before it, and that makes more than 1000000 edges\n  fix: put one step"),
        "{problem}"
    );
    project.write(
        ".hm/ci.ts",
        &text.replace("wait(), ", "wait(), sh('true', { label: 'gate' }), wait(), "),
    );
    assert_eq!(commands(&mut project, "ci").len(), 2002);
}

#[test]
fn what_no_engine_knows_is_named() {
    let mut project = Project::new(&[
        (
            "a.ts",
            "const d = (c: unknown): void => {};\n\n@d\nclass A {}\nexport { A };\n",
        ),
        ("b.ts", "export class B {\n  accessor b = 1;\n}\n"),
    ]);
    let shown = {
        let envelope = project.evaluate();
        project.shown(&envelope.problems)
    };
    starts_with_each(
        &shown,
        &[
            "a.ts:3: SyntaxError: decorators are not supported, neither here nor by Node\n  fix: call the function"
                .to_owned(),
            "b.ts:2: SyntaxError: accessor fields are not supported, neither here nor by Node\n  fix: write a getter"
                .to_owned(),
        ],
    );
}

#[test]
fn what_only_node_has_is_told_with_the_way_to_node() {
    let names = [
        "setTimeout(() => {}, 1)",
        "fetch('x')",
        "new URL('x')",
        "Buffer.from('x')",
        "process.stdout.write('x')",
        "process.on('exit')",
    ];
    for name in names {
        let mut project = Project::new(&[("a.ts", &format!("export const a = () => 1;\n\n{name};\n"))]);
        let envelope = project.evaluate();
        let shown = project.shown(&envelope.problems).join("\n");
        assert!(
            shown.starts_with("a.ts:3: ") && shown.contains("fix: set HM_TS_RUNTIME=node"),
            "{name}: {shown}"
        );
        // What it is asked for by name alone, and what is nowhere, is as everywhere.
        project.write(".hm/a.ts", "console.log(typeof setTimeout, process);\nmissing;\n");
        let envelope = project.evaluate();
        assert_eq!(
            project.shown(&envelope.problems),
            ["a.ts:2: ReferenceError: missing is not defined"]
        );
    }
}

#[test]
fn a_toolchain_that_is_not_there_is_named() {
    let text = "import { go, cobol } from '@harmont/hm/toolchains';\nexport default [go, cobol];\n";
    let mut project = Project::new(&[("ci.ts", text)]);
    let problems = project.evaluate().problems;
    let shown = project.shown(&problems);
    assert!(shown.len() == 1 && shown[0].contains("cobol"), "{shown:?}");
}

#[test]
fn nothing_outside_the_repository_is_read() {
    let import = |path: &str| format!("import x from '{path}';\nexport default x;\n");
    let read =
        |path: &str| format!("import {{ readFileSync }} from 'node:fs';\nreadFileSync('{path}');\nexport {{}};\n");
    let mut project = Project::new(&[
        ("a.ts", &import("../../../../../../../etc/passwd")),
        ("b.ts", &import("/etc/passwd")),
        ("c.ts", &import("../out/passwd")),
        ("d.ts", &read("../../../../../../etc/passwd")),
        ("e.ts", &read("/etc/passwd")),
        ("f.ts", &read("out/passwd")),
        ("g.ts", &import("lodash")),
        ("h.ts", &import("node:child_process")),
        ("i.ts", &import("https://example.com/x.js")),
        ("j.ts", &import("../LICENSE")),
    ]);
    project.write("LICENSE", "none");
    std::os::unix::fs::symlink("/etc", project.root().join("out")).unwrap();
    let envelope = project.evaluate();
    let shown = project.shown(&envelope.problems);
    assert_eq!(shown.len(), 10, "{shown:#?}");
    for (index, shown) in shown.iter().enumerate() {
        let (line, words) = match index {
            0..3 => (1, "is outside the repository"),
            3..6 => (2, "is outside the repository"),
            6..9 => (1, "set HM_TS_RUNTIME=node"),
            _ => (1, "import .ts, .js and .json files only"),
        };
        assert!(
            shown.contains(words) && shown.contains(&format!(".ts:{line}: hm: ")),
            "{shown}"
        );
    }
}

#[test]
fn budgets_hold_and_the_next_file_has_its_own() {
    let mut project = Project::new(&[
        ("a.ts", "let n: number = 0;\nfor (;;) {\n  n++;\n}\n"),
        (
            "b.ts",
            "const all: unknown[] = [];\nfor (;;) all.push(new Array(1000).fill(n()));\nfunction n(): number { return 1; }\n",
        ),
        ("c.ts", "const f = (): number => f() + 1;\nf();\n"),
        (
            "d.ts",
            "async function spin(): Promise<void> { for (;;) await 0; }\nawait spin();\n",
        ),
        ("e.ts", "/^(a+)+$/.test('a'.repeat(60) + 'b');\n"),
        ("z.ts", CI),
    ]);
    let limits = TypeScriptLimits {
        time: Duration::from_millis(500),
        memory: 32 * 1024 * 1024,
    };
    let start = Instant::now();
    let shown = with_limits(&mut project, limits);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let expected = [
        ("a.ts", "hm: the file runs longer than 0.5 s"),
        ("b.ts", "hm: the file uses more memory than 32 MiB"),
        ("c.ts", "RangeError"),
        ("d.ts", "hm: the file runs longer than 0.5 s"),
        ("e.ts", "hm: the file runs longer than 0.5 s"),
    ];
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
    for (shown, (file, words)) in shown.iter().zip(expected) {
        assert!(shown.contains(file) && shown.contains(words), "{file} {words}\n{shown}");
    }
}

/// A slow file must not fail because of others that never end. Six don't: of those the last one is not evaluated.
#[test]
fn files_that_use_up_their_time_leave_the_whole_time_to_the_others() {
    for runtime in ["embedded", "node"] {
        const LOOP: &str = "for (;;);\nexport {};\n";
        let mut files: Vec<(&str, &str)> = ["a.ts", "b.ts", "c.ts", "e.ts", "f.ts", "g.ts"]
            .map(|name| (name, LOOP))
            .into();
        files.push(("d.ts", CI));
        let mut project = Project::new(&files);
        project.set("HM_TS_RUNTIME", runtime);
        let limits = TypeScriptLimits {
            time: Duration::from_millis(500),
            ..TypeScriptLimits::default()
        };
        let shown = with_limits(&mut project, limits);
        let mut expected = ["a.ts", "b.ts", "c.ts", "e.ts", "f.ts"]
            .map(|name| format!("{name}: hm: the file runs longer than 0.5 s"))
            .to_vec();
        expected
            .push("g.ts: hm: not evaluated, since too many before it ran out of their time\n  fix: mend".to_owned());
        let places = shown.iter().map(|shown| shown.replacen(".ts:1:", ".ts:", 1));
        starts_with_each(&places.collect::<Vec<_>>(), &expected);
    }
}

#[test]
fn a_built_in_function_that_never_returns_is_left_behind() {
    let mut project = Project::new(&[
        ("a.ts", "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);\n"),
        ("z.ts", CI),
    ]);
    let limits = TypeScriptLimits {
        time: Duration::from_millis(200),
        ..TypeScriptLimits::default()
    };
    let shown = with_limits(&mut project, limits);
    assert_eq!(shown.len(), 1, "{shown:#?}");
    assert!(shown[0].contains("hm: the file runs longer than 0.2 s"), "{shown:#?}");
}

#[test]
fn an_unknown_runtime_is_an_error() {
    let mut project = Project::new(&[("ci.ts", CI)]);
    project.env.insert("HM_TS_RUNTIME".to_owned(), "deno".to_owned());
    let error = project.try_evaluate().unwrap_err();
    assert!(matches!(&error, DslError::TypeScriptRuntime { value } if value == "deno"));
    assert!(error.fix().unwrap().contains("HM_TS_RUNTIME=node"));
}

#[test]
fn node_tells_the_same_lines() {
    let mut project = Project::new(&[
        ("a_syntax.ts", "import { sh } from '@harmont/hm';\n\nconst x: = 1;\n"),
        (
            "b_throws.ts",
            "interface A {\n  a: string;\n}\n\nconst a: A | undefined = undefined;\nfunction f(): string {\n  return a!.a;\n}\nf();\nexport default [];\n",
        ),
        (
            "c_sdk.ts",
            "import { sh, type Step } from '@harmont/hm';\ntype S = Step;\n\nexport const step: S =\n  sh('x', { cwd: '' });\n",
        ),
        ("e_nothing.ts", "const pipelines = [];\n"),
        (
            "f_export.ts",
            "import {\n  pipelin,\n} from '@harmont/hm';\nexport default pipelin;\n",
        ),
        ("g_missing.ts", "\nimport './missing.ts';\n"),
        (
            "h_nested.ts",
            "import { x } from './lib/broken.ts';\nexport default x;\n",
        ),
        ("j_string.ts", "\nthrow 'no error';\n"),
        ("k_exit.ts", "process.exit(3);\n"),
        (
            "n_forgets.ts",
            "const fail = async () => {\n  await 1;\n  throw new RangeError('nobody waits');\n};\nfail();\nexport default [];\n",
        ),
        ("z_good.ts", CI),
    ]);
    project.write(".hm/lib/broken.ts", "export const x = 1;\nlet y = ;\n");
    node(&mut project);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["ci"]);
    assert_eq!(envelope.find("ci").unwrap().definition(), DEFINITION);
    let shown = project.shown(&envelope.problems);
    let expected = [
        ("a_syntax.ts:3", "SyntaxError: "),
        ("b_throws.ts:7", "TypeError: "),
        ("c_sdk.ts:5", "hm: cwd must not be empty"),
        ("e_nothing.ts", "hm: the file exports nothing"),
        (
            "f_export.ts:2",
            "hm: \"@harmont/hm\" has no \"pipelin\"\n  fix: import { pipeline }",
        ),
        (
            "g_missing.ts:2",
            "hm: cannot import \"./missing.ts\": there is no such file",
        ),
        ("j_string.ts:2", "hm: the file throws no error"),
        (
            "k_exit.ts",
            "hm: Node ended while it evaluated the file (exit status: 3)",
        ),
        ("lib/broken.ts:2", "SyntaxError: "),
        ("n_forgets.ts:3", "RangeError: nobody waits"),
    ];
    starts_with_each(&shown, &expected.map(|(place, message)| format!("{place}: {message}")));
}

#[test]
fn without_node_the_fix_is_named() {
    let mut project = Project::new(&[("ci.ts", CI)]);
    node(&mut project);
    project.set("PATH", "/nowhere");
    let error = project.try_evaluate().unwrap_err();
    assert!(matches!(error, DslError::NoNode));
    assert!(error.fix().unwrap().contains("unset HM_TS_RUNTIME"));
}

#[test]
fn what_is_no_text_is_told_with_the_line_of_its_step() {
    let text = r"
import { sh } from '@harmont/hm';
const half = '😀'.slice(0, 1);
export default [
  { slug: 'a', pipeline: () => [sh('x'),
    sh('y', { env: { A: half } })] },
  { slug: 'b', name: half, pipeline: () => sh('x') },
  { slug: 'c', pipeline: () => sh('😀 \\\\ud83d') },
];
";
    for runtime in ["embedded", "node"] {
        let mut project = Project::new(&[("ci.ts", text)]);
        project.set("HM_TS_RUNTIME", runtime);
        let envelope = project.evaluate();
        assert_eq!(slugs(&envelope), ["c"]);
        let told =
            "hm: \"\\ud83d\" has half of a character (U+D83D), which is no text\n  fix: write the whole character";
        starts_with_each(
            &project.shown(&envelope.problems),
            &[
                format!("ci.ts:6: pipeline \"a\": {told}"),
                format!("ci.ts:7: pipeline \"b\": {told}"),
            ],
        );
    }
}

#[test]
fn an_import_of_what_the_sdk_has_not_names_what_is_meant() {
    let mut project = Project::new(&[
        ("a.ts", "import {\n  shh,\n} from '@harmont/hm';\nexport default shh;\n"),
        ("b.ts", "import { step } from './lib/b.ts';\nexport default step;\n"),
        ("z.ts", CI),
    ]);
    project.write(
        ".hm/lib/b.ts",
        "import { sh } from '@harmont/hm';\nimport { rustt } from '@harmont/hm/toolchains';\nexport const step = [sh, rustt];\n",
    );
    for runtime in ["embedded", "node"] {
        project.set("HM_TS_RUNTIME", runtime);
        let envelope = project.evaluate();
        assert_eq!(slugs(&envelope), ["ci"]);
        assert_eq!(
            project.shown(&envelope.problems),
            [
                "a.ts:2: hm: \"@harmont/hm\" has no \"shh\"\n  fix: import { sh } from \"@harmont/hm\"",
                "lib/b.ts:2: hm: \"@harmont/hm/toolchains\" has no \"rustt\"\n  fix: import { rust } from \"@harmont/hm/toolchains\"",
            ]
        );
    }
}

#[test]
fn what_several_files_run_into_is_told_once() {
    let mut project = Project::new(&[
        (
            "a.ts",
            "import { b } from './b.ts';\nexport const a = b + 1;\nexport default [];\n",
        ),
        ("b.ts", "import { a } from './a.ts';\nexport const b = a + 1;\n"),
        ("c.ts", "import './lib/broken.ts';\n"),
        ("d.ts", "import './lib/broken.ts';\n"),
    ]);
    project.write(".hm/lib/broken.ts", "let y = ;\n");
    for runtime in ["embedded", "node"] {
        project.set("HM_TS_RUNTIME", runtime);
        let envelope = project.evaluate();
        let shown = project.shown(&envelope.problems);
        starts_with_each(
            &shown,
            &["b.ts:2: ReferenceError: ", "lib/broken.ts:1: SyntaxError: "].map(str::to_owned),
        );
        assert!(
            shown[0].ends_with("files that import each other move what both use into a third one"),
            "{shown:?}"
        );
    }
}
