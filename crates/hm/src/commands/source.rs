//! The pipelines of a repository, and the one that is meant.

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use hm_dsl_engine::{DslError, Envelope, EvalSettings, FileProblem, PipelineDefinition, PipelineDir};

use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::process::Process;

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
    let settings = EvalSettings::new(process.env.clone(), sdk_folder.to_owned());
    let mut user_output = stderr();
    let envelope = hm_dsl_engine::evaluate(dir, &settings, &mut user_output as &mut dyn Write)
        .map_err(|error| dsl_error(&error))?;
    Ok(Source {
        root: dir.root().to_owned(),
        envelope,
    })
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
        if !self.envelope.problems.is_empty() {
            return broken(
                &self.envelope.problems,
                &format!("no pipeline {slug:?} in the files that could be read"),
            );
        }
        let error = CliError::new(
            "pipeline_unknown",
            Exit::NotFound,
            format!("there is no pipeline {slug:?}"),
        );
        match self.envelope.pipelines.as_slice() {
            [] => error.cause("no file of .hm/ declares a pipeline").fix(DECLARE),
            [first, ..] => error
                .cause(format!("declared are: {}", slugs(&self.envelope.pipelines)))
                .fix(format!("hm run {}", first.slug)),
        }
    }

    fn none(&self) -> CliError {
        if !self.envelope.problems.is_empty() {
            return broken(&self.envelope.problems, "no pipeline could be read");
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
    .fix(DECLARE)
    .fix("hm run --ir FILE runs a document without one")
}

fn ambiguous(pipelines: &[PipelineDefinition]) -> CliError {
    CliError::new(
        "pipeline_ambiguous",
        Exit::Usage,
        "several pipelines are declared and none is named",
    )
    .cause(format!("declared are: {}", slugs(pipelines)))
    .fix(format!("hm run {}", pipelines[0].slug))
}

/// The pipeline files themselves are in the way.
fn broken(problems: &[FileProblem], message: &str) -> CliError {
    let error = problems.iter().fold(
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
