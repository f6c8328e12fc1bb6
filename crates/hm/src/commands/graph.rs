//! `hm graph`: a picture of a pipeline.

use crate::cli::{GraphArgs, Picture};
use crate::commands::input::Input;
use crate::error::CliError;
use crate::exit::Exit;
use crate::process::Process;
use crate::settings::Places;
use crate::{graph as picture, output};

/// Draws the steps of one pipeline.
pub(crate) fn graph(args: &GraphArgs, process: &Process) -> Result<Exit, CliError> {
    let places = Places::find(args.input.source.dir.as_deref(), process)?;
    let input = Input::read(&args.input, &places, process)?;
    let pipeline = input.parse()?;
    let name = input.slug.as_deref().unwrap_or("pipeline");
    let steps = pipeline.graph();
    output::result(&match args.format {
        Picture::Text => picture::text(steps),
        Picture::Dot => picture::dot(name, steps),
        Picture::Mermaid => picture::mermaid(steps),
        Picture::Svg => picture::svg(name, steps),
    })?;
    Ok(Exit::Success)
}
