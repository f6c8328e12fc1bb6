//! From TypeScript files to reports.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::envelope::FileProblem;
use crate::error::DslError;
use crate::evaluate::{MOST_LATE, not_evaluated, too_long};

use super::confine::Confinement;
use super::limits::TypeScriptLimits;
use super::loader::Modules;
use super::machine::Machine;
use super::node;
use super::report::FileReport;

/// Stack of the thread that evaluates; only what is used of it costs memory. The parser recurses over the source.
const STACK: usize = 64 * 1024 * 1024;
/// How long after its budget a file may still take to notice that it is over.
const GRACE: Duration = Duration::from_secs(1);

/// What evaluating TypeScript depends on beside the files.
#[derive(Clone, Debug)]
pub(crate) struct TypeScriptSettings<'a> {
    /// The project's folder, absolute and without symbolic links; nothing outside of it is read.
    pub(crate) root: &'a Path,
    /// What the files see as `process.env`. `HM_TS_RUNTIME` chooses the runtime.
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) limits: TypeScriptLimits,
}

/// Evaluates the pipeline files, which are absolute paths. `begun` hears of each when its turn comes; what user code prints
/// goes to `output` as it comes.
///
/// A report for each file, in their order; problems in files are part of the reports.
pub(crate) fn evaluate_typescript(
    files: &[PathBuf],
    settings: &TypeScriptSettings<'_>,
    begun: &dyn Fn(&Path),
    output: &mut dyn Write,
) -> Result<Vec<FileReport>, DslError> {
    match settings.env.get("HM_TS_RUNTIME").map_or("", String::as_str) {
        "" | "embedded" => evaluate_embedded(files, settings, begun, output),
        "node" => node::evaluate(files, settings, begun, output),
        other => Err(DslError::TypeScriptRuntime {
            value: other.to_owned(),
        }),
    }
}

/// What the evaluating thread tells.
enum Message {
    Printed(String),
    /// A part of the file begins that has its own time.
    Going,
    Report {
        report: FileReport,
        /// The file used up its time.
        late: bool,
    },
    Failed(rquickjs::Error),
}

fn evaluate_embedded(
    files: &[PathBuf],
    settings: &TypeScriptSettings<'_>,
    begun: &dyn Fn(&Path),
    output: &mut dyn Write,
) -> Result<Vec<FileReport>, DslError> {
    let mut reports = Vec::with_capacity(files.len());
    let mut patience = MOST_LATE;
    while let Some(rest) = files.get(reports.len()..).filter(|rest| !rest.is_empty()) {
        let messages = start(rest.to_vec(), patience, settings)?;
        let late = gather(&messages, rest, settings.limits, begun, &mut reports, output)?;
        patience = patience.saturating_sub(late);
    }
    Ok(reports)
}

/// Takes reports until all of `files` have one, or one of them doesn't come back; the number of those that were late.
fn gather(
    messages: &Receiver<Message>,
    files: &[PathBuf],
    limits: TypeScriptLimits,
    begun: &dyn Fn(&Path),
    reports: &mut Vec<FileReport>,
    output: &mut dyn Write,
) -> Result<usize, DslError> {
    let mut late_files = 0;
    for file in files {
        begun(file);
        let mut deadline = Instant::now() + limits.time + GRACE;
        loop {
            match messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Printed(text)) => output.write_all(text.as_bytes()).map_err(DslError::Output)?,
                Ok(Message::Going) => deadline = Instant::now() + limits.time + GRACE,
                Ok(Message::Report { report, late }) => {
                    reports.push(report);
                    late_files += usize::from(late);
                    break;
                }
                Ok(Message::Failed(source)) => return Err(DslError::TypeScriptEngine { source }),
                // It is inside one built-in function that never asks for the time. The thread is left behind: it
                // stops at its next message, or with the process.
                Err(RecvTimeoutError::Timeout) => {
                    reports.push(FileReport::failed(file, too_long(limits.time)));
                    return Ok(late_files + 1);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let message = "hm: the evaluation of the file broke off".to_owned();
                    reports.push(FileReport::failed(file, message));
                    return Ok(late_files);
                }
            }
        }
    }
    Ok(late_files)
}

fn start(
    files: Vec<PathBuf>,
    patience: usize,
    settings: &TypeScriptSettings<'_>,
) -> Result<Receiver<Message>, DslError> {
    let (sender, receiver) = mpsc::channel();
    let confinement = Confinement::new(settings.root.to_path_buf());
    let env = settings.env.clone();
    let limits = settings.limits;
    thread::Builder::new()
        .name("hm-typescript".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            if let Err(error) = work(&files, patience, &confinement, &env, limits, &sender) {
                // Nobody listens any more when this fails.
                drop(sender.send(Message::Failed(error)));
            }
        })
        .map_err(DslError::TypeScriptThread)?;
    Ok(receiver)
}

/// `patience` is the number of files that may use up their time.
fn work(
    files: &[PathBuf],
    mut patience: usize,
    confinement: &Confinement,
    env: &BTreeMap<String, String>,
    limits: TypeScriptLimits,
    sender: &Sender<Message>,
) -> rquickjs::Result<()> {
    let modules = Rc::new(Modules::new(confinement.clone()));
    // Whatever nobody hears any more is of no use; the report is what is heard last.
    let going = || drop(sender.send(Message::Going));
    // Which file's evaluation found something wrong in which other.
    let mut found: Vec<(PathBuf, PathBuf)> = Vec::new();
    for file in files {
        if patience == 0 {
            drop(sender.send(Message::Report {
                report: FileReport::failed(file, not_evaluated()),
                late: false,
            }));
            continue;
        }
        let printed = sender.clone();
        let print = Rc::new(move |text| drop(printed.send(Message::Printed(text))));
        let machine = Machine::new(Rc::clone(&modules), env, limits, print)?;
        let (mut report, late) = machine.evaluate(file, &going);
        if report.pipelines.is_empty() && report.problems.is_empty() && !modules.is_library(file) {
            report = exports_nothing(file);
        }
        // Files that import each other are told of once, from the first of them.
        let is_new = |problem: &FileProblem| !found.iter().any(|(from, at)| *from == problem.file && at == file);
        report
            .problems
            .retain(|problem| problem.file == *file || is_new(problem));
        found.extend(
            report
                .problems
                .iter()
                .map(|problem| (file.clone(), problem.file.clone())),
        );
        if sender.send(Message::Report { report, late }).is_err() {
            return Ok(());
        }
        patience -= usize::from(late);
    }
    Ok(())
}

/// The report of a file that does nothing for anybody.
pub(super) fn exports_nothing(file: &Path) -> FileReport {
    FileReport::failed(
        file,
        "hm: the file exports nothing, so it declares no pipeline\n  \
         fix: export default { slug: \"ci\", pipeline: pipeline([step]) }"
            .to_owned(),
    )
}
