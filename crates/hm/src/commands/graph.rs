//! `hm graph`: a picture of a pipeline.

use hm_dsl_engine::Origins;
use hm_pipeline_ir::Pipeline;

use crate::cli::{GraphArgs, Picture};
use crate::commands::{run, source};
use crate::error::{self, CliError};
use crate::exit::Exit;
use crate::process::Process;
use crate::settings::Places;
use crate::{graph as picture, output};

/// Draws the steps of one pipeline.
pub(crate) fn graph(args: &GraphArgs, process: &Process) -> Result<Exit, CliError> {
    let Input {
        name,
        document,
        origins,
    } = Input::read(args, process)?;
    let pipeline = Pipeline::parse(&document).map_err(|problems| error::invalid_ir(&problems, &origins))?;
    let steps = pipeline.graph();
    output::result(&match args.format {
        Picture::Text => picture::text(steps),
        Picture::Dot => picture::dot(&name, steps),
        Picture::Mermaid => picture::mermaid(steps),
        Picture::Svg => picture::svg(&name, steps),
    })?;
    Ok(Exit::Success)
}

/// What is drawn.
struct Input {
    /// What the picture is called.
    name: String,
    document: Vec<u8>,
    /// Where the document was written.
    origins: Origins,
}

impl Input {
    fn read(args: &GraphArgs, process: &Process) -> Result<Self, CliError> {
        if let Some(file) = &args.ir {
            return Ok(Self {
                name: "pipeline".to_owned(),
                document: run::read_document(file)?,
                origins: Origins::default(),
            });
        }
        let start = Places::find(args.source.dir.as_deref(), process)?.start;
        let dir = source::find(&start)?.ok_or_else(|| source::no_folder(&start))?;
        let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
        let chosen = source.choose(args.pipeline.as_deref())?;
        Ok(Self {
            name: chosen.slug.clone(),
            document: chosen.definition().as_bytes().to_vec(),
            origins: chosen.origins.clone(),
        })
    }
}
