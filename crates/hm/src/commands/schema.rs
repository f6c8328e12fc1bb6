//! `hm schema`: the JSON Schemas of what goes in and what comes out.

use crate::cli::{SchemaArgs, SchemaDocument};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

pub(crate) fn schema(args: &SchemaArgs) -> Result<Exit, CliError> {
    let schema = match args.document {
        SchemaDocument::Ir => hm_pipeline_ir::ir_schema(),
        SchemaDocument::Events => hm_plugin_protocol::event_schema(),
    };
    output::result(&format!("{schema:#}\n"))?;
    Ok(Exit::Success)
}
