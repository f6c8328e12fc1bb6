//! The pipelines of a repository, and the one that is meant.

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use hm_dsl_engine::{DslError, Envelope, EvalSettings, FileProblem, PipelineDefinition, PipelineDir};

use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::process::Process;

/// How long the evaluation of one file goes on without a word.
const SLOW: Duration = Duration::from_secs(3);

/// What was found below `.hm/`.
#[derive(Debug)]
pub(super) struct Source {
    /// The folder that holds `.hm/`.
    pub(super) root: PathBuf,
    pub(super) envelope: Envelope,
}

/// Finds the nearest `.hm/` upward.
pub(super) fn find(start: &Path) -> Result<Option<PipelineDir>, CliError> {
    hm_dsl_engine::discover(start).map_err(|error| dsl_error(&error))
}

/// Evaluates every pipeline file; what they print goes to standard error.
pub(super) fn evaluate(dir: &PipelineDir, process: &Process, sdk_folder: &Path) -> Result<Source, CliError> {
    let mut settings = EvalSettings::new(process.env.clone(), sdk_folder.to_owned());
    let (begun, files) = mpsc::channel();
    settings.begun = Some(begun);
    let waiting = thread::spawn(move || tell_slow(&files));
    let mut user_output = stderr();
    let envelope = hm_dsl_engine::evaluate(dir, &settings, &mut user_output as &mut dyn Write);
    // With its sender the thread ends.
    drop(settings);
    drop(waiting.join());
    let envelope = envelope.map_err(|error| dsl_error(&error))?;
    Ok(Source {
        root: dir.root().to_owned(),
        envelope,
    })
}

/// Names each file that takes long, until there are no more.
fn tell_slow(begun: &Receiver<PathBuf>) {
    let mut current = None;
    loop {
        match begun.recv_timeout(SLOW) {
            Ok(file) => current = Some(file),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(file) = current.take() {
                    output::note(&format!("note: {} is still being evaluated", file.display()));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn dsl_error(error: &DslError) -> CliError {
    let told = CliError::from_error("pipeline_evaluation", Exit::Usage, error);
    match error.fix() {
        Some(fix) => told.fix(fix),
        None => told,
    }
}

impl Source {
    /// Tells of broken files that do not stand in the way.
    pub(super) fn note_problems(&self) {
        for problem in &self.envelope.problems {
            output::note(&format!("warning: {problem}"));
        }
    }

    /// The pipeline with that slug, or the only one.
    pub(super) fn choose(&self, slug: Option<&str>) -> Result<&PipelineDefinition, CliError> {
        let chosen = match (slug, self.envelope.pipelines.as_slice()) {
            (Some(slug), _) => self.envelope.find(slug).ok_or_else(|| self.unknown(slug)),
            (None, [only]) => Ok(only),
            (None, []) => Err(self.none()),
            (None, several) => Err(ambiguous(several)),
        }?;
        self.note_problems();
        Ok(chosen)
    }

    /// Fails where nothing is declared and no file is broken.
    pub(super) fn require_any(&self) -> Result<(), CliError> {
        if self.envelope.pipelines.is_empty() && self.envelope.problems.is_empty() {
            return Err(self.none());
        }
        Ok(())
    }

    fn unknown(&self, slug: &str) -> CliError {
        let Envelope { pipelines, problems } = &self.envelope;
        let own: Vec<&FileProblem> = problems
            .iter()
            .filter(|problem| problem.pipeline.as_deref() == Some(slug))
            .collect();
        if !own.is_empty() {
            return broken(own, &format!("the pipeline {slug:?} can't be read"));
        }
        let mut error = if problems.is_empty() {
            let message = format!("there is no pipeline {slug:?}");
            CliError::new("pipeline_unknown", Exit::NotFound, message)
        } else {
            let message = format!("there is no pipeline {slug:?} in what can be read of .hm/");
            CliError::new("pipeline_source", Exit::Usage, message)
        };
        error = match pipelines.as_slice() {
            [] if problems.is_empty() => error.cause("no file of .hm/ declares a pipeline").fix(DECLARE),
            [] => error,
            [first, ..] => error
                .cause(format!("declared are: {}", slugs(pipelines)))
                .again("", first.slug.as_str()),
        };
        if problems.is_empty() {
            return error;
        }
        let error = problems
            .iter()
            .fold(error, |error, problem| error.cause(problem.to_string()));
        error.fix(format!(
            "where one of these files declares {slug:?}, mend it and give the command again"
        ))
    }

    fn none(&self) -> CliError {
        if !self.envelope.problems.is_empty() {
            return broken(&self.envelope.problems, "no pipeline can be read");
        }
        CliError::new(
            "pipelines_missing",
            Exit::NotFound,
            "no file of .hm/ declares a pipeline",
        )
        .fix(DECLARE)
    }
}

const DECLARE: &str = "declare one in .hm/pipeline.py:\n\
    import harmont as hm\n\
    \n\
    @hm.pipeline(\"ci\", default_image=\"host\")\n\
    def ci():\n    return hm.sh(\"make test\", label=\"test\")";

/// There is no `.hm/` at all.
pub(super) fn no_folder(start: &Path) -> CliError {
    CliError::new(
        "pipelines_missing",
        Exit::NotFound,
        format!("there is no .hm/ folder in {} or above it", start.display()),
    )
    .fix("hm init")
    .fix(DECLARE)
}

fn ambiguous(pipelines: &[PipelineDefinition]) -> CliError {
    CliError::new(
        "pipeline_ambiguous",
        Exit::Usage,
        "several pipelines are declared and none is named",
    )
    .cause(format!("declared are: {}", slugs(pipelines)))
    .again("", pipelines[0].slug.as_str())
}

/// The pipeline files themselves are in the way.
fn broken<'a>(problems: impl IntoIterator<Item = &'a FileProblem>, message: &str) -> CliError {
    let error = problems.into_iter().fold(
        CliError::new("pipeline_source", Exit::Usage, message),
        |error, problem| error.cause(problem.to_string()),
    );
    error.fix("mend the file and run `hm pipelines` to see what it declares")
}

/// Fails where any file is broken, naming all of them.
pub(super) fn require_whole(source: &Source) -> Result<(), CliError> {
    if source.envelope.problems.is_empty() {
        Ok(())
    } else {
        Err(broken(&source.envelope.problems, "some pipeline files can't be read"))
    }
}

fn slugs(pipelines: &[PipelineDefinition]) -> String {
    pipelines
        .iter()
        .map(|pipeline| pipeline.slug.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
