//! `hm run`: from a pipeline and a working tree to a verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hm_exec::{RootImages, RunOptions, RunRequest};
use hm_pipeline_ir::StepKey;
use hm_plugin_protocol::RunId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::build::{self, Look};
use crate::cli::{ColorChoice, RunArgs};
use crate::commands::input::Input;
use crate::duration;
use crate::error::{self, CliError};
use crate::exit::Exit;
use crate::images;
use crate::limits;
use crate::open_files::OpenFiles;
use crate::output;
use crate::process::Process;
use crate::pulls::PullProgress;
use crate::settings::{Backend, Looks, Places, RunSettings};
use crate::users;

/// Runs one build and ends as it ended.
pub(crate) fn run(args: &RunArgs, process: &Process, color: ColorChoice) -> Result<Exit, CliError> {
    let env = parse_env(&args.build.env)?;
    let timeout = args.timeout.as_deref().map(parse_timeout).transpose()?;
    let places = Places::find(args.input.source.dir.as_deref(), process)?;
    let looks = Looks {
        parallelism: args.parallelism.as_deref(),
        format: args.format,
    };
    let mut settings = RunSettings::resolve(&args.build, looks, &places, process, OpenFiles::raise())?;
    let input = Input::read(&args.input, &places, process)?;
    let request = request(input, env, args.build.image.as_deref(), &mut settings, process)?;
    let request = RunRequest {
        options: RunOptions {
            keep_going: args.keep_going,
            no_cache: args.no_cache,
            timeout,
            only: (!args.step.is_empty()).then(|| args.step.iter().map(StepKey::new).collect()),
            ..request.options
        },
        branch: args.branch.clone(),
        message: args.message.clone(),
        ..request
    };
    if settings.backend == Backend::Sandbox {
        let users = users::note(hm_sandbox::subordinate_ids(), process);
        let limits = limits::note(&request.pipeline, process);
        users.iter().chain(&limits).for_each(|note| output::note(note));
    }
    let look = Look {
        colored: process.colors_stdout(color),
        pulls: Arc::new(PullProgress::new(process)),
    };
    build::execute(request, &settings, look)
}

/// The build of a document, with what decides its keys. Tells what is odd about the document.
pub(super) fn request(
    input: Input,
    env: BTreeMap<String, String>,
    forced_image: Option<&str>,
    settings: &mut RunSettings,
    process: &Process,
) -> Result<RunRequest, CliError> {
    settings.images.lock = images::read_lock(&input.root)?;
    let pipeline = input.parse()?;
    for problem in pipeline.warnings() {
        output::note(&format!("warning: {}", error::located(problem, &input.origins)));
    }
    Ok(RunRequest {
        run_id: RunId(Uuid::now_v7()),
        pipeline: Arc::new(pipeline),
        source_root: input.root,
        slug: input.slug,
        env,
        machine_env: process.env.clone(),
        options: RunOptions {
            images: RootImages {
                default: settings.default_image.clone(),
                forced: forced_image.map(str::to_owned),
            },
            grace: settings.grace,
            open_lookups: settings.at_once.lookups,
            ..RunOptions::new(settings.at_once.steps, settings.default_image.clone())
        },
        branch: None,
        message: None,
        stop_starting: CancellationToken::new(),
    })
}

/// The variables of `-e`.
pub(super) fn parse_env(pairs: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    pairs.iter().map(|pair| parse_variable(pair)).collect()
}

/// `K=V`, K a name as POSIX has it (XBD 8.1).
fn parse_variable(pair: &str) -> Result<(String, String), CliError> {
    let invalid = |cause: &str| {
        CliError::new("env_invalid", Exit::Usage, format!("`-e {pair}` is not K=V"))
            .cause(cause)
            .again("", "-e NAME=value")
    };
    let (name, value) = pair.split_once('=').ok_or_else(|| invalid("there is no `=` in it"))?;
    let mut characters = name.chars();
    let starts_well = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if !starts_well || !characters.all(|character| character.is_ascii_alphanumeric() || character == '_') {
        return Err(invalid(
            "a name is letters, digits and `_`, and does not start with a digit",
        ));
    }
    if value.contains('\0') {
        return Err(invalid("a value can't hold a NUL character"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_timeout(text: &str) -> Result<Duration, CliError> {
    duration::parse(text).map_err(|error| {
        CliError::from_error("timeout_invalid", Exit::Usage, &error)
            .fix("hm run --timeout 15m")
            .fix("hm run --timeout 1h30m")
    })
}
