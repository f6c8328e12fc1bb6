//! From a `.hm/` folder to its envelope.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::discover::PipelineDir;
use crate::envelope::{Envelope, FileProblem, PipelineDefinition};
use crate::error::DslError;
use crate::interpreter::{self, Interpreter, PythonOrigin};
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
    let mut envelope = if dir.python_files().is_empty() {
        Envelope::default()
    } else {
        evaluate_python(dir, settings, output)?
    };
    envelope
        .problems
        .extend(
            dir.typescript_files().iter().map(|name| FileProblem {
                file: dir.dir().join(name),
                line: None,
                pipeline: None,
                message: "TypeScript pipelines are not available in this version\n  fix: write the pipeline in Python"
                    .to_owned(),
                traceback: None,
            }),
        );
    Ok(envelope)
}

#[derive(Deserialize)]
struct Report {
    too_old: Option<String>,
    #[serde(default)]
    pipelines: Vec<PipelineDefinition>,
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

fn evaluate_python(dir: &PipelineDir, settings: &EvalSettings, output: &mut dyn Write) -> Result<Envelope, DslError> {
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
    match report.too_old {
        Some(version) => Err(DslError::PythonTooOld {
            python: python.program,
            version,
            origin: python.origin,
        }),
        None => Ok(Envelope {
            pipelines: report.pipelines,
            problems: report.problems.into_iter().map(FileProblem::from).collect(),
        }),
    }
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
