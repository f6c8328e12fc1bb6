//! From a `.hm/` folder to its envelope.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::discover::PipelineDir;
use crate::envelope::{Envelope, FileProblem, PipelineDefinition};
use crate::error::DslError;
use crate::interpreter::{self, Interpreter, PythonOrigin};
use crate::typescript::{FileReport, TypeScriptLimits, TypeScriptSettings, evaluate_typescript};
use crate::{process, sources};

/// What an evaluation depends on beside the files.
#[derive(Clone, Debug)]
pub struct EvalSettings {
    /// The whole environment of the evaluation. `HM_PYTHON`, `VIRTUAL_ENV`, `PATH` and pyenv's variables choose the
    /// interpreter; `HM_SDK=installed` prefers an installed package `harmont` over the one built in.
    pub env: BTreeMap<String, String>,
    /// A folder for the built-in SDK and its byte code; may be deleted at any time that nothing is evaluated.
    pub sdk_cache_dir: PathBuf,
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
        let settings = TypeScriptSettings {
            root: dir.root(),
            env: &settings.env,
            limits,
        };
        for report in evaluate_typescript(&files, &settings, output)? {
            typescript.add(report);
        }
    }
    Ok(merge(python, typescript))
}

/// What the files of one language declare, each pipeline with its file.
#[derive(Default)]
struct Declared {
    pipelines: Vec<(PathBuf, PipelineDefinition)>,
    problems: Vec<FileProblem>,
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
        let Some((file, pipeline)) = next else { break };
        if let Some(other) = first.get(&pipeline.slug) {
            envelope.problems.push(repeated(file, pipeline.slug, other));
        } else {
            first.insert(pipeline.slug.clone(), file);
            envelope.pipelines.push(pipeline);
        }
    }
    envelope.problems.sort_by(|a, b| a.file.cmp(&b.file));
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

#[derive(Deserialize)]
struct Report {
    too_old: Option<String>,
    #[serde(default)]
    pipelines: Vec<PipelineDefinition>,
    /// The file of each of the pipelines, where they are known.
    #[serde(default)]
    origins: Vec<PathBuf>,
    #[serde(default)]
    problems: Vec<ReportedProblem>,
}

#[derive(Deserialize)]
struct ReportedProblem {
    file: PathBuf,
    line: u32,
    pipeline: Option<String>,
    message: String,
    traceback: String,
}

fn evaluate_python(dir: &PipelineDir, settings: &EvalSettings, output: &mut dyn Write) -> Result<Declared, DslError> {
    let sdk = sources::install(&settings.sdk_cache_dir)?;
    let mut python = interpreter::find(&settings.env, dir.root())?;
    let mut report = run(&python, &sdk, dir, settings, output)?;
    if python.origin == PythonOrigin::Path && report.too_old.is_some() {
        for program in interpreter::newer(&settings.env) {
            let other = Interpreter {
                program,
                ..python.clone()
            };
            let answer = run(&other, &sdk, dir, settings, output)?;
            if answer.too_old.is_none() {
                (python, report) = (other, answer);
                break;
            }
        }
    }
    if let Some(version) = report.too_old {
        return Err(DslError::PythonTooOld {
            python: python.program,
            version,
            origin: python.origin,
        });
    }
    let unknown = std::iter::repeat_with(|| dir.dir().to_path_buf());
    let origins = report.origins.into_iter().chain(unknown);
    Ok(Declared {
        pipelines: origins.zip(report.pipelines).collect(),
        problems: report.problems.into_iter().map(FileProblem::from).collect(),
    })
}

fn run(
    python: &Interpreter,
    sdk: &Path,
    dir: &PipelineDir,
    settings: &EvalSettings,
    output: &mut dyn Write,
) -> Result<Report, DslError> {
    let mut arguments = python.arguments.clone();
    arguments.extend([OsString::from("-S"), sdk.join("boot.py").into(), dir.dir().into()]);
    arguments.extend(dir.python_files().iter().map(OsString::from));
    let child =
        process::start(&python.program, &arguments, dir.root(), &settings.env).map_err(|source| DslError::Start {
            python: python.program.clone(),
            origin: python.origin,
            source,
        })?;
    let ended = process::wait(child, output).map_err(DslError::Connection)?;
    if !ended.status.success() || ended.report.is_empty() {
        return Err(DslError::Died {
            python: python.program.clone(),
            status: ended.status,
            output: String::from_utf8_lossy(&ended.printed).into_owned(),
        });
    }
    serde_json::from_slice(&ended.report).map_err(|source| DslError::Report {
        python: python.program.clone(),
        source,
    })
}

impl From<ReportedProblem> for FileProblem {
    fn from(reported: ReportedProblem) -> Self {
        let ReportedProblem {
            file,
            line,
            pipeline,
            message,
            traceback,
        } = reported;
        Self {
            file,
            line: Some(line),
            pipeline,
            message,
            traceback: Some(traceback),
        }
    }
}
