//! `hm graph`: a picture of a pipeline.

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
    let (name, document) = read(args, process)?;
    let pipeline = Pipeline::parse(&document).map_err(|problems| error::invalid_ir(&problems))?;
    let steps = pipeline.graph();
    output::result(&match args.format {
        Picture::Text => picture::text(steps),
        Picture::Dot => picture::dot(&name, steps),
        Picture::Mermaid => picture::mermaid(steps),
        Picture::Svg => picture::svg(&name, steps),
    })?;
    Ok(Exit::Success)
}

/// The document and what the picture is called.
fn read(args: &GraphArgs, process: &Process) -> Result<(String, Vec<u8>), CliError> {
    if let Some(file) = &args.ir {
        return Ok(("pipeline".to_owned(), run::read_document(file)?));
    }
    let places = Places::find(args.source.dir.as_deref(), process)?;
    let dir = source::find(&places.start)?.ok_or_else(|| source::no_folder(&places.start))?;
    let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
    let chosen = source.choose(args.pipeline.as_deref())?;
    Ok((chosen.slug.clone(), chosen.definition().as_bytes().to_vec()))
}
