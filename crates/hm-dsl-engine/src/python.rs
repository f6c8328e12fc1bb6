//! Pipelines from Python files.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;

use crate::discover::PipelineDir;
use crate::envelope::{FileProblem, PipelineDefinition};
use crate::error::DslError;
use crate::evaluate::{Declared, EvalSettings, MOST_LATE, too_long};
use crate::interpreter::{self, Interpreter, PythonOrigin};
use crate::origins::{Noted, Place};
use crate::process::{self, Ended, Patience};
use crate::sources;

/// How long an interpreter may take before it comes to the first file; `uv run` may have an environment to make first.
const START: Duration = Duration::from_mins(10);
/// How long a file may go on after its budget. Python stops it at its budget, with the line, where Python can.
const GRACE: Duration = Duration::from_secs(2);
/// The status of an interpreter whose way to hm was closed by a file (`hm_host/channel.py`).
const LOST: i32 = 74;
const LOST_TOLD: &str = "hm: the file closes descriptors that it has not opened, and hm has lost the connection to Python\n  \
                         fix: close only what the file has opened";
/// The status of an interpreter in which something that hm needs is gone (`hm_host/channel.py`).
const BROKEN: i32 = 70;
const BROKEN_TOLD: &str = "hm: a file takes away something of Python itself that hm needs, this one or one before it\n  \
                           fix: leave the built-in names and modules as they are";

/// What the program inside Python reports.
#[derive(Default, Deserialize)]
struct Report {
    too_old: Option<String>,
    #[serde(default)]
    pipelines: Vec<PipelineDefinition>,
    /// Where each of the pipelines and its steps were written, where that is known.
    #[serde(default)]
    origins: Vec<Noted<(PathBuf, u32)>>,
    #[serde(default)]
    problems: Vec<ReportedProblem>,
}

#[derive(Deserialize)]
struct ReportedProblem {
    file: PathBuf,
    line: Option<u32>,
    pipeline: Option<String>,
    message: String,
    traceback: String,
}

/// How one run of the interpreter ended.
enum Outcome {
    Report(Report),
    /// It did not come past one file.
    Broken {
        problem: FileProblem,
        /// Because its time was over.
        late: bool,
        /// The files before it that ran out of their time, with their problems.
        before: Vec<(PathBuf, FileProblem)>,
    },
}

/// Evaluates the Python files of `dir`.
pub(crate) fn evaluate_python(
    dir: &PipelineDir,
    settings: &EvalSettings,
    output: &mut dyn Write,
) -> Result<Declared, DslError> {
    let sdk = sources::install(&settings.sdk_cache_dir)?;
    let mut evaluation = Evaluation {
        python: interpreter::find(&settings.env, dir.root())?,
        sdk: &sdk,
        dir,
        files: dir.python_files().to_vec(),
        settings,
        patience: MOST_LATE,
    };
    let mut broken = Vec::new();
    let report = loop {
        match evaluation.run_new_enough(output)? {
            Outcome::Report(report) => break report,
            Outcome::Broken { problem, late, before } => {
                evaluation.patience = evaluation.patience.saturating_sub(before.len() + usize::from(late));
                for (file, problem) in before {
                    evaluation.leave_out(&file);
                    broken.push(problem);
                }
                let is_known = evaluation.leave_out(&problem.file);
                broken.push(problem);
                if !is_known || evaluation.files.is_empty() {
                    break Report::default();
                }
            }
        }
    };
    broken.extend(report.problems.into_iter().map(FileProblem::from));
    let origins = report.origins.into_iter().chain(std::iter::repeat_with(Noted::default));
    let pipelines = origins.zip(report.pipelines).map(|(noted, mut pipeline)| {
        let file = noted.definition.as_ref().map(|(file, _)| file.clone());
        pipeline.origins = noted.origins(|(file, line)| Some(Place { file, line }));
        (file.unwrap_or_else(|| dir.dir().to_path_buf()), pipeline)
    });
    Ok(Declared {
        pipelines: pipelines.collect(),
        problems: broken,
    })
}

struct Evaluation<'a> {
    python: Interpreter,
    sdk: &'a Path,
    dir: &'a PipelineDir,
    /// The names of the files.
    files: Vec<String>,
    settings: &'a EvalSettings,
    /// How many of the files may still run out of their time.
    patience: usize,
}

impl Evaluation<'_> {
    /// Runs the others only; false where `file` is none of them.
    fn leave_out(&mut self, file: &Path) -> bool {
        let before = self.files.len();
        self.files.retain(|name| self.dir.dir().join(name) != file);
        self.files.len() < before
    }

    /// Runs the files in the interpreter, or in a newer one where it is too old and was not chosen by the user.
    fn run_new_enough(&mut self, output: &mut dyn Write) -> Result<Outcome, DslError> {
        let first = self.run(&self.python, output)?;
        let Outcome::Report(Report {
            too_old: Some(version), ..
        }) = first
        else {
            return Ok(first);
        };
        if self.python.origin == PythonOrigin::Path {
            for program in interpreter::newer(&self.settings.env) {
                let python = Interpreter {
                    program,
                    ..self.python.clone()
                };
                let answer = self.run(&python, output)?;
                if !matches!(&answer, Outcome::Report(report) if report.too_old.is_some()) {
                    self.python = python;
                    return Ok(answer);
                }
            }
        }
        Err(DslError::PythonTooOld {
            python: self.python.program.clone(),
            version,
            origin: self.python.origin,
        })
    }

    fn run(&self, python: &Interpreter, output: &mut dyn Write) -> Result<Outcome, DslError> {
        let mut arguments = python.arguments.clone();
        arguments.extend([
            OsString::from("-S"),
            self.sdk.join("boot.py").into(),
            self.dir.dir().into(),
            self.settings.python_time.as_secs_f64().to_string().into(),
            self.patience.to_string().into(),
        ]);
        arguments.extend(self.files.iter().map(OsString::from));
        let child =
            process::start(&python.program, &arguments, self.dir.root(), &self.settings.env).map_err(|source| {
                DslError::Start {
                    python: python.program.clone(),
                    origin: python.origin,
                    source,
                }
            })?;
        let patience = Patience {
            start: START,
            line: self.settings.python_time.saturating_add(GRACE),
        };
        let mut begun = |line: &[u8]| {
            if !is_problem(line) {
                self.settings.tell_begun(&path_of(line));
            }
        };
        let ended = process::wait(child, patience, &mut begun, output).map_err(DslError::Connection)?;
        self.outcome(python, &ended)
    }

    /// The report: a line for each file as it was begun, or ran out of its time; then the object.
    fn outcome(&self, python: &Interpreter, ended: &Ended) -> Result<Outcome, DslError> {
        let mut lines: Vec<&[u8]> = ended.report.split(|byte| *byte == b'\n').collect();
        let report = lines.pop().unwrap_or_default();
        let is_whole = !report.is_empty() && (ended.status.success() || ended.late);
        if is_whole {
            return serde_json::from_slice(report)
                .map(Outcome::Report)
                .map_err(|source| DslError::Report {
                    python: python.program.clone(),
                    source,
                });
        }
        let (before, last) = read_lines(&lines);
        let Some(file) = last.filter(|_| !asked_to_stop(ended.status)) else {
            return Err(if ended.late {
                DslError::NoAnswer {
                    python: python.program.clone(),
                    time: START,
                }
            } else {
                DslError::Died {
                    python: python.program.clone(),
                    status: ended.status,
                    output: String::from_utf8_lossy(&ended.printed).into_owned(),
                }
            });
        };
        let message = if ended.late {
            too_long(self.settings.python_time)
        } else {
            ended_early(ended.status)
        };
        Ok(Outcome::Broken {
            problem: FileProblem {
                file,
                line: None,
                pipeline: None,
                message,
                traceback: None,
            },
            late: ended.late,
            before,
        })
    }
}

/// The problem of a file during which the interpreter ended.
fn ended_early(status: ExitStatus) -> String {
    match status.code() {
        Some(LOST) => LOST_TOLD.to_owned(),
        Some(BROKEN) => BROKEN_TOLD.to_owned(),
        _ => format!(
            "hm: Python ended while it evaluated the file ({status})\n  \
             fix: raise an error that says why, instead of ending the process"
        ),
    }
}

/// Whether a line is a problem and not a path, which are absolute.
fn is_problem(line: &[u8]) -> bool {
    line.starts_with(b"{")
}

/// The files that ran out of their time, with their problems, and the file that was begun last.
fn read_lines(lines: &[&[u8]]) -> (Vec<(PathBuf, FileProblem)>, Option<PathBuf>) {
    let mut late = Vec::new();
    let mut current = None;
    for line in lines {
        if !is_problem(line) {
            current = Some(path_of(line));
        } else if let (Some(file), Ok(problem)) = (&current, serde_json::from_slice::<ReportedProblem>(line)) {
            late.push((file.clone(), problem.into()));
        }
    }
    (late, current)
}

fn path_of(line: &[u8]) -> PathBuf {
    OsString::from_vec(line.to_vec()).into()
}

/// Whether somebody ended the interpreter on purpose, itself or the program that runs it.
fn asked_to_stop(status: ExitStatus) -> bool {
    let signals = [Signal::HUP, Signal::INT, Signal::TERM].map(Signal::as_raw);
    let told = status.code().map(|code| code.saturating_sub(128));
    status.signal().or(told).is_some_and(|signal| signals.contains(&signal))
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
            line,
            pipeline,
            message,
            traceback: Some(traceback),
        }
    }
}
