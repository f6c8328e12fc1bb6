//! `hm render`: the IR of one pipeline, or the cache keys of its steps.

use std::sync::Arc;

use hm_exec::{KnownKey, StepKeys};
use hm_pipeline_ir::{Pipeline, PipelineGraph, ProblemCode, Step, StepIndex};
use hm_render::visible;
use serde_json::{Value, json};

use crate::build;
use crate::cli::{Format, RenderArgs};
use crate::commands::input::Input;
use crate::commands::run::{parse_env, request};
use crate::error::{self, CliError};
use crate::exit::Exit;
use crate::open_files::OpenFiles;
use crate::output;
use crate::process::Process;
use crate::pulls::PullProgress;
use crate::settings::{Looks, Places, RunSettings};

/// Prints the definition as the SDK made it, after checking it, or the keys of its steps.
pub(crate) fn render(args: &RenderArgs, process: &Process) -> Result<Exit, CliError> {
    let places = Places::find(args.input.source.dir.as_deref(), process)?;
    let input = Input::read(&args.input, &places, process)?;
    let pipeline = input.parse()?;
    if args.strict {
        refuse_unknown_fields(&pipeline, &input)?;
    }
    if args.keys {
        print_keys(args, input, &places, process)?;
    } else {
        let document = input.text();
        let end = if document.ends_with('\n') { "" } else { "\n" };
        output::result(&format!("{document}{end}"))?;
    }
    Ok(Exit::Success)
}

fn refuse_unknown_fields(pipeline: &Pipeline, input: &Input) -> Result<(), CliError> {
    let unknown = pipeline
        .warnings()
        .iter()
        .filter(|problem| problem.code == ProblemCode::UnknownField);
    if unknown.clone().next().is_none() {
        return Ok(());
    }
    Err(error::problems(
        "ir_unknown_fields",
        "the pipeline has fields that this version does not know",
        &input.origins,
        unknown,
    )
    .fix("remove the fields, or render without --strict"))
}

fn print_keys(args: &RenderArgs, input: Input, places: &Places, process: &Process) -> Result<(), CliError> {
    let env = parse_env(&args.build.env)?;
    let mut settings = RunSettings::resolve(&args.build, Looks::default(), places, process, OpenFiles::raise())?;
    let request = request(input, env, args.build.image.as_deref(), &mut settings, process)?;
    let pipeline = Arc::clone(&request.pipeline);
    let keys = build::step_keys(request, &settings, &Arc::new(PullProgress::new(process)))?;
    let graph = pipeline.graph();
    for (at, note) in &keys.notes {
        output::note(&format!("note: {}: {note}", graph.step(*at).key));
    }
    output::result(&match args.format.unwrap_or(Format::Human) {
        Format::Human => to_text(graph, &keys),
        Format::Json => format!("{}\n", to_json(graph, &keys)),
    })
}

/// A line for each step: its key, its policy, and the cache key or why there is none.
fn to_text(graph: &PipelineGraph, keys: &StepKeys) -> String {
    let name = |at: StepIndex| visible(graph.step(at).key.as_str());
    let lines = graph.indices().map(|at| {
        let key = match keys.of(at) {
            KnownKey::Uncached => "-".to_owned(),
            KnownKey::After(ancestor) => format!("after {}", name(ancestor)),
            KnownKey::Known(key) => key.to_string(),
        };
        format!("{} {} {key}\n", name(at), visible(policy(graph.step(at))))
    });
    lines.collect()
}

fn to_json(graph: &PipelineGraph, keys: &StepKeys) -> Value {
    let entry = |at: StepIndex| {
        let (key, reason, after) = match keys.of(at) {
            KnownKey::Uncached => (None, Some("not_cached"), None),
            KnownKey::After(ancestor) => (None, Some("after"), Some(graph.step(ancestor).key.as_str())),
            KnownKey::Known(key) => (Some(key.to_string()), None, None),
        };
        let step = graph.step(at);
        json!({
            "step": step.key.as_str(),
            "policy": policy(step),
            "key": key,
            "reason": reason,
            "after": after,
        })
    };
    graph.indices().map(entry).collect()
}

/// The policy as the IR writes it.
fn policy(step: &Step) -> &str {
    step.cache.as_ref().map_or("none", |cache| cache.policy.name())
}
