//! `hm render`: the IR of one pipeline.

use hm_pipeline_ir::{Pipeline, ProblemCode};

use crate::cli::RenderArgs;
use crate::commands::source;
use crate::error::{self, CliError};
use crate::exit::Exit;
use crate::output;
use crate::process::Process;
use crate::settings::Places;

/// Prints the definition as the SDK made it, after checking it.
pub(crate) fn render(args: &RenderArgs, process: &Process) -> Result<Exit, CliError> {
    let places = Places::find(args.source.dir.as_deref(), process)?;
    let dir = source::find(&places.start)?.ok_or_else(|| source::no_folder(&places.start))?;
    let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
    let chosen = source.choose(args.pipeline.as_deref())?;
    let definition = chosen.definition();
    let pipeline =
        Pipeline::parse(definition.as_bytes()).map_err(|problems| error::invalid_ir(&problems, &chosen.origins))?;
    let unknown = pipeline
        .warnings()
        .iter()
        .filter(|problem| problem.code == ProblemCode::UnknownField);
    if args.strict && unknown.clone().next().is_some() {
        return Err(error::problems(
            "ir_unknown_fields",
            "the pipeline has fields that this version does not know",
            &chosen.origins,
            unknown,
        )
        .fix("remove the fields, or render without --strict"));
    }
    output::result(&format!("{definition}\n"))?;
    Ok(Exit::Success)
}
