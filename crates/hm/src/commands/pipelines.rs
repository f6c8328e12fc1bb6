//! `hm pipelines`: what is declared, as one JSON document.

use crate::cli::SourceArgs;
use crate::commands::source;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::process::Process;
use crate::settings::Places;

/// Prints the envelope. A broken file does not hide the others, but fails the command.
pub(crate) fn pipelines(args: &SourceArgs, process: &Process) -> Result<Exit, CliError> {
    let places = Places::find(args.dir.as_deref(), process)?;
    let Some(dir) = source::find(&places.start)? else {
        output::result("{\"schema_version\":\"1\",\"pipelines\":[]}\n")?;
        return Ok(Exit::Success);
    };
    let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
    output::result(&format!("{}\n", source.envelope.to_json()))?;
    source::require_whole(&source)?;
    Ok(Exit::Success)
}
