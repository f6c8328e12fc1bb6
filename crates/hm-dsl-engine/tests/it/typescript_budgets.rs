//! What TypeScript files may use, in the built-in engine and in the machine's Node.

use std::time::{Duration, Instant};

use hm_dsl_engine::{EvalSettings, TypeScriptLimits, discover, evaluate_within};

use crate::support::{Project, starts_with_each};
use crate::typescript::CI;

fn with_limits(project: &mut Project, limits: TypeScriptLimits) -> Vec<String> {
    let dir = discover(&project.root()).unwrap().unwrap();
    let settings = EvalSettings::new(project.env.clone(), project.cache());
    let envelope = evaluate_within(&dir, &settings, limits, &mut Vec::new()).unwrap();
    project.shown(&envelope.problems).into_iter().collect()
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

#[test]
fn small_objects_use_the_memory_up_where_they_are_made_and_leave_the_next_file_its_own() {
    let mut project = Project::new(&[
        (
            "a.ts",
            "const all: unknown[] = [];\nlet n = 0;\nfor (;;) all.push({ n: n++ });\n",
        ),
        (
            "b.ts",
            "const all = new Map<number, string>();\nlet n = 0;\nfor (;;) {\n  all.set(n, 'x' + n++);\n}\n",
        ),
        (
            "c.ts",
            "const all: unknown[] = [];\nconst grow = (): never => {\n  for (;;) all.push([1]);\n};\n\
             export default [{ slug: 'grows', pipeline: grow }];\n",
        ),
        (
            "d.ts",
            "const again = (): Promise<void> => Promise.resolve().then(again);\nawait again();\n",
        ),
        ("z.ts", CI),
    ]);
    let limits = TypeScriptLimits {
        memory: 32 * 1024 * 1024,
        ..TypeScriptLimits::default()
    };
    // The engine asks at the end of a turn of a loop or at a call: the line may be the one before.
    let line = |shown: String| match shown.split_once(".ts:") {
        Some((file, rest)) => format!(
            "{file}.ts:{}",
            rest.trim_start_matches(|digit: char| digit.is_ascii_digit())
        ),
        None => shown,
    };
    let shown: Vec<String> = with_limits(&mut project, limits).into_iter().map(line).collect();
    let expected = [
        "a.ts:: hm: the file uses more memory than 32 MiB",
        "b.ts:: hm: the file uses more memory than 32 MiB",
        "c.ts:: pipeline \"grows\": hm: the file uses more memory than 32 MiB",
        "d.ts: hm: the file uses more memory than 32 MiB",
    ];
    starts_with_each(&shown, &expected.map(str::to_owned));
}

#[test]
fn a_pipeline_that_does_not_end_is_named_and_hides_no_other_of_its_file() {
    let project = Project::new(&[(
        "a.ts",
        "import { pipeline, sh } from '@harmont/hm';\n\
         const good = () => pipeline([sh('x')]);\n\
         export default [\n\
           { slug: 'spins', pipeline: () => {\n\
             for (;;);\n\
           } },\n\
           { slug: 'waits', pipeline: () => new Promise(() => {}) },\n\
           { slug: 'goes-round', pipeline: async () => { for (;;) await 0; } },\n\
           { slug: 'good', pipeline: good },\n\
         ];\n",
    )]);
    let dir = discover(&project.root()).unwrap().unwrap();
    let settings = EvalSettings::new(project.env.clone(), project.cache());
    let limits = TypeScriptLimits {
        time: Duration::from_millis(500),
        ..TypeScriptLimits::default()
    };
    let envelope = evaluate_within(&dir, &settings, limits, &mut Vec::new()).unwrap();
    let slugs: Vec<&str> = envelope
        .pipelines
        .iter()
        .map(|pipeline| pipeline.slug.as_str())
        .collect();
    assert_eq!(slugs, ["good"]);
    let shown: Vec<String> = project.shown(&envelope.problems).into_iter().collect();
    let expected = [
        "a.ts:4: pipeline \"spins\": hm: the file runs longer than 0.5 s",
        "a.ts:7: pipeline \"waits\": hm: the file waits for a promise that nothing will settle",
        "a.ts:8: pipeline \"goes-round\": hm: the file runs longer than 0.5 s",
    ];
    starts_with_each(&shown, &expected.map(str::to_owned));
}

#[test]
fn what_a_file_does_to_the_built_in_objects_is_not_seen_by_the_next() {
    let project = [
        (
            "a.ts",
            "Array.prototype.push = () => { throw 1; };\n(globalThis as { leak?: number }).leak = 1;\n",
        ),
        ("z.ts", CI),
    ];
    let mut project = Project::new(&project);
    let shown = with_limits(&mut project, TypeScriptLimits::default());
    starts_with_each(&shown, &["a.ts: hm: the file exports nothing".to_owned()]);
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
