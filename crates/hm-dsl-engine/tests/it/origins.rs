//! Where steps were written: told beside the documents, for errors about them.

use crate::support::Project;

const PYTHON: &str = "import harmont as hm
from lib import helped

@hm.pipeline('ci')
def ci():
    build = hm.sh(
        'make',
        label='build',
    )
    tests = [build.sh(f'test {n}') for n in range(2)]
    return [
        *tests,
        hm.timeout('1m', build.sh('lint')),
        helped(build),
        hm.go(path='api').vet(),
        hm.Step(cmd='by hand'),
    ]
";

const TYPESCRIPT: &str = "import { pipeline, sh, timeout, type Step } from '@harmont/hm';
import { go } from '@harmont/hm/toolchains';
import { helped } from './lib.ts';

interface Gone {
  a: string;
}

const build: Step = sh(
  'make', { label: 'build' });
const tests = [1, 2].map((n) => build.sh(`test ${n}`));
export default [
  {
    slug: 'ci',
    pipeline: pipeline([
      ...tests,
      timeout('1m', build.sh('lint')),
      helped(build),
      go({ path: 'api' }).vet(),
    ]),
  },
  {
    slug: 'made',
    pipeline: () => [build],
  },
  { slug: 'by-hand', pipeline: { ...pipeline([build]) } },
];
";

/// The line of the pipeline and those of its steps, with files seen from `.hm/`.
fn lines(project: &mut Project, slug: &str) -> Vec<String> {
    let envelope = project.evaluate();
    assert_eq!(project.shown(&envelope.problems), [] as [&str; 0]);
    let pipeline = envelope.find(slug).unwrap();
    let document: serde_json::Value = serde_json::from_str(pipeline.definition()).unwrap();
    let nodes = document["graph"]["nodes"].as_array().unwrap().len();
    let pointers = (0..nodes).map(|node| format!("/graph/nodes/{node}/step/cmd"));
    let folder = format!("{}/", project.root().join(".hm").display());
    [String::new()]
        .into_iter()
        .chain(pointers)
        .map(|pointer| pipeline.origins.of(&pointer).unwrap().to_string().replace(&folder, ""))
        .collect()
}

#[test]
fn python_tells_the_line_of_each_step() {
    let mut project = Project::new(&[
        ("ci.py", PYTHON),
        ("lib.py", "def helped(step):\n\n    return step.sh('helped')\n"),
    ]);
    assert_eq!(
        lines(&mut project, "ci"),
        [
            "ci.py:4", "ci.py:6", "ci.py:10", "ci.py:10", "ci.py:13", "lib.py:3", "ci.py:15", "ci.py:15", "ci.py:15",
            "ci.py:16"
        ]
    );
}

#[test]
fn packages_that_a_project_installed_are_no_place_of_its_steps() {
    let library = "import harmont as hm\n\ndef made():\n    return hm.sh('made')\n";
    let pipeline = "import harmont as hm\nfrom words import made\n\n@hm.pipeline('ci')\ndef ci():\n    return made()\n";
    let mut project = Project::new(&[("ci.py", pipeline)]);
    project.virtual_env(".venv", &[("words.py", library)]);
    assert_eq!(lines(&mut project, "ci"), ["ci.py:4", "ci.py:6"]);
}

fn typescript() -> Project {
    Project::new(&[
        ("ci.ts", TYPESCRIPT),
        (
            "lib.ts",
            "import type { Step } from '@harmont/hm';\nexport const helped = (step: Step): Step =>\n  step.sh('helped');\n",
        ),
    ])
}

#[track_caller]
fn typescript_tells_the_line_of_each_step(mut project: Project) {
    assert_eq!(
        lines(&mut project, "ci"),
        [
            "ci.ts:14", "ci.ts:9", "ci.ts:11", "ci.ts:11", "ci.ts:17", "lib.ts:3", "ci.ts:19", "ci.ts:19", "ci.ts:19"
        ]
    );
    assert_eq!(lines(&mut project, "made"), ["ci.ts:23", "ci.ts:9"]);
    assert_eq!(lines(&mut project, "by-hand"), ["ci.ts:26", "ci.ts:26"]);
}

#[test]
fn the_engine_tells_the_line_of_each_step() {
    typescript_tells_the_line_of_each_step(typescript());
}

#[test]
fn node_tells_the_line_of_each_step() {
    let mut project = typescript();
    project.set("HM_TS_RUNTIME", "node");
    typescript_tells_the_line_of_each_step(project);
}
