//! What is wrong with TypeScript files, told by the built-in engine and by the machine's Node.

use hm_dsl_engine::DslError;

use crate::support::{Project, slugs, starts_with_each};
use crate::typescript::{CI, DEFINITION, commands, node};

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
        "ci.ts:8: pipeline \"five\": hm: the pipeline \"five\" has no option \"pipelines\"",
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

/// Types are not checked, so an option that nothing reads would have no effect.
#[test]
fn no_function_of_the_sdk_takes_an_option_that_it_has_not() {
    let calls = [
        "h.sh('x', odd)",
        "h.sh('x', null)",
        "h.scratch(odd)",
        "h.wait(odd)",
        "h.forever(odd)",
        "h.ttl(1, odd)",
        "h.push(odd)",
        "h.pullRequest(odd)",
        "h.secret('x', odd)",
        "h.service('x', 'y', odd)",
        "h.matrix({ a: [1] }, odd)",
        "h.pipeline([], odd)",
        "h.aptBase({ packages: ['x'], ...odd })",
        "t.go(odd)",
        "t.go.test(odd)",
        "t.rust.toolchain(odd)",
        "t.rust.project(odd)",
        "t.rust.toolchain().test(odd)",
        "t.js.project(odd)",
        "t.python(odd)",
        "t.py.uv(odd)",
        "t.cmake(odd)",
        "t.cmake().project(odd)",
        "t.zig(odd)",
        "t.elixir(odd)",
        "t.haskell(odd)",
        "t.ocaml(odd)",
        "t.perl(odd)",
        "t.ruby(odd)",
        "t.dotnet(odd)",
        "t.gradle(odd)",
        "t.java(odd)",
        "t.kotlin(odd)",
        "t.php(odd)",
        "t.elm(odd)",
    ];
    let text = format!(
        "import * as hm from '@harmont/hm';\nimport * as tools from '@harmont/hm/toolchains';\n\
         const h: any = hm, t: any = tools, odd = {{ odd: 1 }};\n\
         const told = (call: () => unknown): string => {{ try {{ call(); return 'taken'; }} catch (error) {{ return (error as Error).message; }} }};\n\
         for (const call of [{}]) console.log(call, told(call).split('\\n')[0]);\nexport default [];\n",
        calls.map(|call| format!("() => {call}")).join(",\n")
    );
    let mut project = Project::new(&[("ci.ts", &text)]);
    assert_eq!(project.evaluate().problems, []);
    let printed = String::from_utf8(project.printed).unwrap();
    let told: Vec<&str> = printed.lines().collect();
    assert_eq!(told.len(), calls.len(), "{printed}");
    for (told, call) in told.iter().zip(calls) {
        let refused =
            told.contains("has no option \"odd\"") || told.contains("the options must be an object, not null");
        assert!(refused, "{call}: {told}");
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
fn what_a_definition_says_of_itself_is_refused_at_its_line() {
    let mut project = Project::new(&[
        (
            "a.ts",
            "import { pipeline, sh } from '@harmont/hm';\nconst ir = pipeline([sh('x')]);\nexport default [\n\
             { slug: 'n', name: 5, pipeline: ir },\n\
             { slug: 'am', allowManual: 'no', pipeline: ir },\n\
             { slug: 't', triggers: [{}], pipeline: ir },\n\
             { slug: 'good', pipeline: ir },\n];\n",
        ),
        ("b.ts", "namespace N {\n  export let n = 0;\n}\nexport default [];\n"),
    ]);
    for runtime in ["embedded", "node"] {
        project.set("HM_TS_RUNTIME", runtime);
        let envelope = project.evaluate();
        assert_eq!(slugs(&envelope), ["good"]);
        starts_with_each(
            &project.shown(&envelope.problems),
            &[
                "a.ts:4: pipeline \"n\": hm: the name of the pipeline \"n\" is 5, which is no text\n  fix: name: ",
                "a.ts:5: pipeline \"am\": hm: allowManual of the pipeline \"am\" is \"no\"\n  fix: allowManual: ",
                "a.ts:6: pipeline \"t\": hm: ",
                "b.ts:2: SyntaxError: namespaces that export variables are not supported\n  fix: export a constant",
            ]
            .map(str::to_owned),
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

#[test]
fn a_list_that_holds_itself_is_told_at_once() {
    let mut project = Project::new(&[(
        "ci.ts",
        r#"import { sh, pipeline } from "@harmont/hm";
const list: any = [sh("x")];
list.push([list]);
const own: any = { defaultActions: () => [sh("x"), own] };
let deep: any = sh("x");
const twice = [deep];
for (let n = 0; n < 100_000; n++) deep = [deep];
export default [
  { slug: "one", pipeline: () => pipeline(list) },
  { slug: "two", pipeline: () => list },
  { slug: "three", pipeline: () => own },
  { slug: "four", pipeline: () => [twice, deep, twice] },
];
"#,
    )]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["four"]);
    let shown = project.shown(&envelope.problems);
    let expected = [
        "ci.ts:9: pipeline \"one\": hm: an array holds itself\n  fix: ",
        "ci.ts:10: pipeline \"two\": hm: an array holds itself\n  fix: ",
        "ci.ts:11: pipeline \"three\": hm: an object holds itself\n  fix: ",
    ];
    starts_with_each(&shown, &expected.map(str::to_owned));
}
