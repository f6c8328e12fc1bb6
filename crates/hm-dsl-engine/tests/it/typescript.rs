//! TypeScript files evaluated by the built-in engine, and by the machine's Node.

use hm_pipeline_ir::Pipeline;

use crate::support::{Project, slugs};

pub(crate) const CI: &str = r#"
import { pipeline, push, sh, type PipelineDefinition } from "@harmont/hm";

const definitions: PipelineDefinition[] = [
  { slug: "ci", triggers: [push({ branch: "main" })], pipeline: pipeline([sh("make", { label: "build" })]) },
];

export default definitions;
"#;

pub(crate) const DEFINITION: &str = r#"{"version":"0","graph":{"nodes":[{"step":{"key":"build","cmd":"make","label":"build","image":"ubuntu:24.04"},"env":{"DEBIAN_FRONTEND":"noninteractive","TERM":"dumb"}}],"node_holes":[],"edge_property":"directed","edges":[]}}"#;

/// The commands of a pipeline's steps, in order.
pub(crate) fn commands(project: &mut Project, slug: &str) -> Vec<String> {
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
    let definition = envelope.find(slug).unwrap().definition();
    let pipeline = Pipeline::parse(definition.as_bytes()).unwrap();
    assert_eq!(pipeline.warnings(), []);
    let value: serde_json::Value = serde_json::from_str(definition).unwrap();
    let nodes = value["graph"]["nodes"].as_array().unwrap();
    nodes
        .iter()
        .map(|node| node["step"]["cmd"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_pipeline_comes_with_its_definition_verbatim() {
    let mut project = Project::new(&[("ci.ts", CI)]);
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
    assert_eq!(envelope.find("ci").unwrap().definition(), DEFINITION);
    let parsed: serde_json::Value = serde_json::from_str(&envelope.to_json()).unwrap();
    assert_eq!(parsed["pipelines"][0]["name"], "ci");
    assert_eq!(
        parsed["pipelines"][0]["triggers"],
        serde_json::json!([{"event": "push", "branches": ["main"]}])
    );
}

#[test]
fn both_languages_share_an_envelope_in_the_order_of_file_names() {
    let python = "import harmont as hm\n@hm.pipeline('NAME')\ndef f(): return hm.sh('make', label='build')\n";
    let mut project = Project::new(&[
        ("b.ts", CI),
        ("a.py", &python.replace("NAME", "first")),
        ("c.py", &python.replace("NAME", "last")),
        ("d.ts", CI),
        ("e.py", &python.replace("NAME", "ci")),
    ]);
    let envelope = project.evaluate();
    assert_eq!(slugs(&envelope), ["first", "ci", "last"]);
    let shown = project.shown(&envelope.problems);
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(
        shown[0].starts_with("d.ts") && shown[0].contains("two pipelines have the slug \"ci\""),
        "{shown:?}"
    );
    assert!(shown[1].starts_with("e.py"), "{shown:?}");
    let value =
        |slug: &str| -> serde_json::Value { serde_json::from_str(envelope.find(slug).unwrap().definition()).unwrap() };
    assert_eq!(value("first"), value("ci"));
}

#[test]
fn the_language_is_whole() {
    let mut project = Project::new(&[(
        "ci.ts",
        r#"
import { pipeline, sh, matrix, type Step } from "@harmont/hm";
import { aptBase } from "@harmont/hm/toolchains";
import * as path from "node:path";
import { readFileSync, existsSync, readdirSync, statSync } from "node:fs";
import fsp from "node:fs/promises";
import settings from "../settings.json";
import typed from "../settings.json" with { type: "json" };
import { named } from "./lib/named";
import { other } from "./lib/other.js";

enum Mode { Fast = "fast", Slow = "slow" }
namespace Names { export const one = "one"; }
const wait = async <T,>(value: T): Promise<T> => value;

class Builder {
  #steps: Step[] = [];
  static made = 0;
  static { Builder.made++; }
  constructor(private readonly prefix: string) {}
  add(cmd?: string): this {
    this.#steps.push(sh(`${this.prefix} ${cmd ?? "nothing"}`));
    return this;
  }
  *[Symbol.iterator](): Generator<Step> { yield* this.#steps; }
}

const builder = new Builder("run").add("a").add().add(settings?.deep?.missing ?? Mode.Fast);
const waited = await wait("waited");
const { default: late } = await import("./lib/late.mjs");
const text = (await fsp.readFile("settings.json", "utf8")).length;
const lines = [
  ...builder, sh(Names.one), sh(waited), sh(late), sh(named), sh(other), sh(typed.name),
  sh(`${text === readFileSync("settings.json").length}`),
  sh(path.relative(process.cwd(), path.join(import.meta.dirname, "..", "x"))),
  sh(readdirSync(".hm/lib").join(" ")),
  sh(`${existsSync("nothing")} ${existsSync("settings.json")} ${statSync(".hm")?.isDirectory()}`),
  sh(JSON.parse(readFileSync("settings.json") as unknown as string).name),
  sh(process.env["GREETING"] ?? "no greeting"),
  ...matrix({ os: ["x", "y"], n: [1, 2] }, { exclude: [{ os: "y", n: 2 }] }).map(({ os, n }) => sh(`${os}${n}`)),
  sh([3, 1, 2].toSorted().at(-1)!.toString().padStart(2, "0").replaceAll("0", "_")),
  aptBase({ packages: ["curl"] }),
];
console.log("lines", lines.length, { a: [1, "x"] });
export const pipelines = { slug: "ci", pipeline: async () => lines };
"#,
    )]);
    project.write("settings.json", "{\"name\": \"from json\"}");
    project.write(".hm/lib/named.ts", "export const named: string = 'named';\n");
    project.write(".hm/lib/other.ts", "export { named as other } from './named.js';\n");
    project.write(".hm/lib/late.mjs", "export default 'late';\n");
    project.env.insert("GREETING".to_owned(), "hello".to_owned());
    assert_eq!(
        commands(&mut project, "ci"),
        [
            "run a",
            "run nothing",
            "run fast",
            "one",
            "waited",
            "late",
            "named",
            "named",
            "from json",
            "true",
            "x",
            "late.mjs named.ts other.ts",
            "false true true",
            "from json",
            "hello",
            "x1",
            "x2",
            "y1",
            "_3",
            "apt-get update && apt-get install -y curl",
        ]
    );
    assert_eq!(
        String::from_utf8(project.printed).unwrap(),
        "lines 20 { a: [1, \"x\"] }\n"
    );
}

/// The public package has its toolchains in a module with a `Step` of its own.
#[test]
fn there_is_one_instance_of_the_sdk() {
    let mut project = Project::new(&[
        (
            "lib.ts",
            "import * as all from '@harmont/hm/toolchains';\nexport { Step } from '@harmont/hm';\n\
             export { zig } from '@harmont/hm/toolchains';\nexport const whole = all;\n",
        ),
        (
            "ci.ts",
            "import { pipeline, sh, Step } from '@harmont/hm';\nimport { go, zig } from '@harmont/hm/toolchains';\n\
             import { Step as Other, whole, zig as another } from './lib.ts';\n\
             const same = go === whole.go && zig === another && Step === Other;\n\
             if (!same) throw new Error('another instance');\nconst base = sh('base');\n\
             if (!(base instanceof Step && go.test({ base }) instanceof Other)) throw new Error('another class');\n\
             export default { slug: 'ci', pipeline: pipeline([go.test({ base }), base.sh('mixed')]) };\n",
        ),
    ]);
    let told = commands(&mut project, "ci");
    assert!(
        told.contains(&"cd . && go test ./...".to_owned()) && told.contains(&"mixed".to_owned()),
        "{told:?}"
    );
}

#[test]
fn values_are_cloned_as_in_node() {
    let text = r"
import { sh } from '@harmont/hm';
const list: unknown[] = [1, , 'x', undefined, null, 5n];
const value = { list, date: new Date(5), re: /a/g, map: new Map([[{ k: 1 }, new Set([2])]]), bytes: new Uint8Array([1, 2]), error: new RangeError('e'), self: null as unknown };
value.self = value;
const copy = structuredClone(value);
let refused = '';
try { structuredClone({ f: () => 1 }); } catch (error) { refused = (error as Error).constructor !== Object ? 'refused' : ''; }
const checks = [
  copy !== value, copy.self === copy, copy.list !== value.list, copy.list.length === 6, !(1 in copy.list), copy.list[5] === 5n,
  copy.date.getTime() === 5, copy.re.flags === 'g', [...copy.map.values()][0]!.has(2), copy.bytes[1] === 2, copy.bytes !== value.bytes,
  copy.error.message === 'e', copy.error instanceof Error, refused === 'refused',
];
export default { slug: 'ci', pipeline: () => sh(checks.join()) };
";
    let mut project = Project::new(&[("ci.ts", text)]);
    let expected = vec!["true"; 14].join(",");
    assert_eq!(commands(&mut project, "ci"), [expected.as_str()]);
    node(&mut project);
    assert_eq!(commands(&mut project, "ci"), [expected.as_str()]);
}

#[test]
fn what_a_terminal_would_obey_is_spelled_out_in_documents() {
    let text = "import { sh } from '@harmont/hm';\nexport default { slug: 'ci', pipeline: () => sh('a\\u202e\\u009b\\x1b\\u{e0041}ü') };\n";
    let mut project = Project::new(&[("ci.ts", text)]);
    for runtime in ["embedded", "node"] {
        project.set("HM_TS_RUNTIME", runtime);
        assert_eq!(commands(&mut project, "ci"), ["a\u{202e}\u{9b}\u{1b}\u{e0041}ü"]);
        let envelope = project.evaluate();
        let definition = envelope.find("ci").unwrap().definition();
        assert!(definition.contains(r"a\u202e\u009b\u001b\udb40\udc41ü"), "{definition}");
    }
}

pub(crate) fn node(project: &mut Project) {
    project.set("HM_TS_RUNTIME", "node");
}

#[test]
fn node_renders_the_same() {
    let text = r#"
import { pipeline, sh, wait } from "@harmont/hm";
import { aptBase } from "@harmont/hm/toolchains";
import { basename } from "node:path";
import settings from "../settings.json";
import { named } from "./lib/named";

enum Mode { Fast = "fast" }
console.log("printed");
export default [
  { slug: "one", pipeline: pipeline([aptBase({ packages: ["curl"] }), wait(), sh(named), sh(Mode.Fast)]) },
  { slug: "two", pipeline: async () => sh(basename(settings.name), { env: { A: "ü" } }) },
];
"#;
    let mut project = Project::new(&[("ci.ts", text), ("lib.ts", "export const a = 1;\n")]);
    project.write("settings.json", "{\"name\": \"from/json\"}");
    project.write(".hm/lib/named.ts", "export const named: string = 'named';\n");
    let embedded = project.evaluate();
    assert_eq!(project.shown(&embedded.problems), [] as [&str; 0]);
    assert_eq!(slugs(&embedded), ["one", "two"]);
    node(&mut project);
    let in_node = project.evaluate();
    assert_eq!(project.shown(&in_node.problems), [] as [&str; 0]);
    assert_eq!(in_node.to_json(), embedded.to_json());
    assert_eq!(String::from_utf8(project.printed).unwrap(), "printed\nprinted\n");
}

#[test]
fn node_offers_its_modules_and_packages() {
    let mut project = Project::new(&[(
        "ci.ts",
        "import { sh } from '@harmont/hm';\nimport { createHash } from 'node:crypto';\nimport { word } from 'words';\n\
         export default { slug: 'ci', pipeline: () => sh(`${word} ${createHash('md5').update('').digest('hex')}`) };\n",
    )]);
    project.write(
        "node_modules/words/package.json",
        "{\"name\": \"words\", \"main\": \"index.cjs\"}",
    );
    project.write("node_modules/words/index.cjs", "exports.word = 'hello';\n");
    node(&mut project);
    assert_eq!(commands(&mut project, "ci"), ["hello d41d8cd98f00b204e9800998ecf8427e"]);
}

/// Pipelines of both languages that must have the same definition.
const ALIKE_PYTHON: &str = r#"
import harmont as hm

@hm.pipeline("py-steps", default_image="debian:12", timeout=90)
def steps():
    return [
        hm.sh("a", retry=2, outputs=("out/**",), allow_failure=True, secrets=("TOKEN", hm.secret("KEY", file="/k"))),
        hm.sh("b", services=(hm.service("db", "postgres:16", env={"A": "1"}, ports=(5432,), ready="pg_isready", ready_timeout="30s"),)),
        hm.sh("c", resources={"cpus": 1.5, "memory_mib": 512, "pids": 64}, network="none", mounts=(hm.cache_dir("npm", "/root/.npm"),)),
        hm.sh("d", cache=hm.auto(), retry={"max": 1, "on": ["infra"]}, cwd="-odd dir", label=":x: Ünï -- Code!"),
    ]

@hm.pipeline("py-js")
def js():
    return [
        hm.js.project(path="bun-lock").run("a b"),
        hm.js.project(path="yarn").run("test"),
        hm.js.project(path="pinned").run("test"),
        hm.js.project(path="deno"),
        hm.js.project(path="none"),
    ]

@hm.pipeline("py-more")
def more():
    rust = hm.rust.project(path="core/", components=(), version="nightly-2024-01-01")
    return [
        hm.cmake.test(path="lib dir/", compiler="gcc-13", target="t t", label="cm"),
        hm.cmake(generator="make").project(path=".").fmt(fix=True),
        hm.python.typecheck(path="api", paths=["a b", "c"], uv_version="0.5.1"),
        hm.zig(version="0.13.0"),
        hm.elixir.test(path="shop", partitions=3, env={"X": "1"}),
        hm.elixir.mix("ecto.migrate --quiet 'two words'", path="shop"),
        hm.rust.toolchain().doctest(all_features=True, flags=("--color never",)),
        rust.clippy(exclude=("a", "b")), rust.doc(packages=("x",), locked=False), rust.build(target="wasm32-wasip1", add_target=False),
        hm.go.test(path="api", version="1.22", base=hm.apt_base(packages=("curl git", "jq"), image="debian:12")),
        hm.py.uv.run("python  -m tool", path="t"),
    ]
"#;

const ALIKE_TYPESCRIPT: &str = r#"
import { aptBase, auto, cacheDir, pipeline, secret, service, sh } from "@harmont/hm";
import { cmake, elixir, go, js, py, python, rust, zig } from "@harmont/hm/toolchains";

const core = rust.project({ path: "core/", components: [], version: "nightly-2024-01-01" });
export default [
  {
    slug: "ts-steps",
    pipeline: pipeline(
      [
        sh("a", { retry: 2, outputs: ["out/**"], allowFailure: true, secrets: ["TOKEN", secret("KEY", { file: "/k" })] }),
        sh("b", { services: [service("db", "postgres:16", { env: { A: "1" }, ports: [5432], ready: "pg_isready", readyTimeout: "30s" })] }),
        sh("c", { resources: { cpus: 1.5, memoryMib: 512, pids: 64 }, network: "none", mounts: [cacheDir("npm", "/root/.npm")] }),
        sh("d", { cache: auto(), retry: { max: 1, on: ["infra"] }, cwd: "-odd dir", label: ":x: Ünï -- Code!" }),
      ],
      { defaultImage: "debian:12", timeout: 90 },
    ),
  },
  {
    slug: "ts-js",
    pipeline: pipeline([
      js.project({ path: "bun-lock" }).run("a b"),
      js.project({ path: "yarn" }).run("test"),
      js.project({ path: "pinned" }).run("test"),
      js.project({ path: "deno" }),
      js.project({ path: "none" }),
    ]),
  },
  {
    slug: "ts-more",
    pipeline: () => [
      cmake.test({ path: "lib dir/", compiler: "gcc-13", target: "t t", label: "cm" }),
      cmake({ generator: "make" }).project({ path: "." }).fmt({ fix: true }),
      python.typecheck({ path: "api", paths: ["a b", "c"], uvVersion: "0.5.1" }),
      zig({ version: "0.13.0" }),
      elixir.test({ path: "shop", partitions: 3, env: { X: "1" } }),
      elixir.mix("ecto.migrate --quiet 'two words'", { path: "shop" }),
      rust.toolchain().doctest({ allFeatures: true, flags: ["--color never"] }),
      core.clippy({ exclude: ["a", "b"] }), core.doc({ packages: ["x"], locked: false }), core.build({ target: "wasm32-wasip1", addTarget: false }),
      go.test({ path: "api", version: "1.22", base: aptBase({ packages: ["curl git", "jq"], image: "debian:12" }) }),
      py.uv.run("python  -m tool", { path: "t" }),
    ],
  },
];
"#;

#[test]
fn both_sdks_mean_the_same() {
    let mut project = Project::new(&[("a.py", ALIKE_PYTHON), ("b.ts", ALIKE_TYPESCRIPT)]);
    project.write("bun-lock/bun.lockb", "");
    project.write("yarn/yarn.lock", "");
    project.write("yarn/package.json", "{\"engines\": {\"node\": \">=20\"}}");
    project.write("pinned/package.json", "{\"packageManager\": \"yarn@4.1.0\"}");
    project.write("deno/deno.lock", "");
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
    for name in ["steps", "js", "more"] {
        let definition = |language: &str| -> serde_json::Value {
            let found = envelope.find(&format!("{language}-{name}")).unwrap();
            serde_json::from_str(found.definition()).unwrap()
        };
        assert_eq!(definition("ts"), definition("py"), "{name}");
    }
}

#[test]
fn five_thousand_steps_render_within_the_budget() {
    let text = "import { pipeline, sh } from '@harmont/hm';\n\
                const steps = Array.from({ length: 5000 }, (_, i) => sh(`echo ${i}`));\n\
                export default { slug: 'ci', pipeline: pipeline(steps) };\n";
    let mut project = Project::new(&[("ci.ts", text)]);
    assert_eq!(commands(&mut project, "ci").len(), 5000);
    node(&mut project);
    assert_eq!(commands(&mut project, "ci").len(), 5000);
}
