//! From a `.hm/` folder to its envelope.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::discover::PipelineDir;
use crate::envelope::{Envelope, FileProblem, PipelineDefinition};
use crate::error::DslError;
use crate::python::evaluate_python;
use crate::typescript::{FileReport, TypeScriptLimits, TypeScriptSettings, evaluate_typescript};

/// What an evaluation depends on beside the files.
#[derive(Clone, Debug)]
pub struct EvalSettings {
    /// The whole environment of the evaluation. `HM_PYTHON`, `VIRTUAL_ENV`, `PATH` and pyenv's variables choose the
    /// interpreter; `HM_SDK=installed` prefers an installed package `harmont` over the one built in.
    pub env: BTreeMap<String, String>,
    /// A folder for the built-in SDK and its byte code; may be deleted at any time that nothing is evaluated.
    pub sdk_cache_dir: PathBuf,
    /// Time for one Python file, and for each pipeline function.
    pub python_time: Duration,
    /// Gets the path of each file when its turn comes, as far as it can be told; a receiver that went away is no error.
    pub begun: Option<Sender<PathBuf>>,
}

impl EvalSettings {
    /// The usual budget of a Python file.
    pub const PYTHON_TIME: Duration = Duration::from_mins(1);

    /// Settings with the usual budget.
    pub fn new(env: BTreeMap<String, String>, sdk_cache_dir: PathBuf) -> Self {
        Self {
            env,
            sdk_cache_dir,
            python_time: Self::PYTHON_TIME,
            begun: None,
        }
    }

    /// Tells that the turn of a file has come.
    pub(crate) fn tell_begun(&self, file: &Path) {
        if let Some(begun) = &self.begun {
            drop(begun.send(file.to_path_buf()));
        }
    }
}

/// So many files of one language may use up their time; what comes after them is not evaluated. Each of the others has its
/// whole time, so one that doesn't end makes no slow one fail.
pub(crate) const MOST_LATE: usize = 5;

/// The problem of a file that comes after [`MOST_LATE`] others.
pub(crate) fn not_evaluated() -> String {
    "hm: not evaluated, since too many before it ran out of their time\n  fix: mend those first".to_owned()
}

/// The problem of a file that used up its time.
pub(crate) fn too_long(time: Duration) -> String {
    let time = time.as_secs_f64();
    format!("hm: the file runs longer than {time} s\n  fix: look for a loop that doesn't end")
}

/// Evaluates the pipeline files. What user code prints goes to `output` as it comes.
///
/// Problems in files are part of the envelope; an error means that there is no envelope at all.
pub fn evaluate(dir: &PipelineDir, settings: &EvalSettings, output: &mut dyn Write) -> Result<Envelope, DslError> {
    evaluate_within(dir, settings, TypeScriptLimits::default(), output)
}

/// As [`evaluate`], with other budgets for TypeScript files.
pub fn evaluate_within(
    dir: &PipelineDir,
    settings: &EvalSettings,
    limits: TypeScriptLimits,
    output: &mut dyn Write,
) -> Result<Envelope, DslError> {
    let mut python = Declared::default();
    if !dir.python_files().is_empty() {
        python = evaluate_python(dir, settings, output)?;
    }
    let mut typescript = Declared::default();
    if !dir.typescript_files().is_empty() {
        let files: Vec<PathBuf> = dir.typescript_files().iter().map(|name| dir.dir().join(name)).collect();
        let typescript_settings = TypeScriptSettings {
            root: dir.root(),
            env: &settings.env,
            limits,
        };
        let begun = |file: &Path| settings.tell_begun(file);
        for report in evaluate_typescript(&files, &typescript_settings, &begun, output)? {
            typescript.add(report);
        }
    }
    let mut envelope = merge(python, typescript);
    envelope.problems.extend_from_slice(dir.unusable());
    if envelope.pipelines.is_empty() && envelope.problems.is_empty() {
        envelope.problems = dir.left_out();
    }
    envelope
        .problems
        .sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    // One broken file that several import is one problem.
    let mut known = HashSet::new();
    envelope.problems.retain(|problem| known.insert(problem.to_string()));
    Ok(envelope)
}

/// What the files of one language declare, each pipeline with its file.
#[derive(Default)]
pub(crate) struct Declared {
    pub(crate) pipelines: Vec<(PathBuf, PipelineDefinition)>,
    pub(crate) problems: Vec<FileProblem>,
}

impl Declared {
    fn add(&mut self, report: FileReport) {
        let FileReport {
            file,
            pipelines,
            problems,
        } = report;
        let pipelines = pipelines.into_iter().map(|pipeline| (file.clone(), pipeline));
        self.pipelines.extend(pipelines);
        self.problems.extend(problems);
    }
}

/// One envelope in the order of file names; each language keeps its own order. Where two files use one slug, the
/// first one has it.
fn merge(python: Declared, typescript: Declared) -> Envelope {
    let mut envelope = Envelope {
        pipelines: Vec::with_capacity(python.pipelines.len() + typescript.pipelines.len()),
        problems: python.problems,
    };
    envelope.problems.extend(typescript.problems);
    let mut first: HashMap<String, PathBuf> = HashMap::new();
    let mut python = python.pipelines.into_iter().peekable();
    let mut typescript = typescript.pipelines.into_iter().peekable();
    loop {
        let python_is_next = match (python.peek(), typescript.peek()) {
            (Some((python, _)), Some((typescript, _))) => python <= typescript,
            (python, _) => python.is_some(),
        };
        let next = if python_is_next {
            python.next()
        } else {
            typescript.next()
        };
        let Some((file, mut pipeline)) = next else { break };
        if let Some(other) = first.get(&pipeline.slug) {
            envelope.problems.push(repeated(file, pipeline.slug, other));
        } else {
            pipeline.file.clone_from(&file);
            first.insert(pipeline.slug.clone(), file);
            envelope.pipelines.push(pipeline);
        }
    }
    envelope
}

fn repeated(file: PathBuf, slug: String, other: &Path) -> FileProblem {
    FileProblem {
        file,
        line: None,
        message: format!(
            "hm: two pipelines have the slug {slug:?}\n  the first one: {}\n  fix: give one of them another slug",
            other.display()
        ),
        pipeline: Some(slug),
        traceback: None,
    }
}
