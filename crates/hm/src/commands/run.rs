//! `hm run`: from a pipeline and a working tree to a verdict.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hm_dsl_engine::Origins;
use hm_exec::{RootImages, RunOptions, RunRequest};
use hm_pipeline_ir::{Pipeline, StepKey};
use hm_plugin_protocol::RunId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::build::{self, Look};
use crate::cli::{ColorChoice, RunArgs};
use crate::commands::source;
use crate::duration;
use crate::error::{self, CliError};
use crate::exit::Exit;
use crate::images;
use crate::limits;
use crate::output;
use crate::process::Process;
use crate::pulls::PullProgress;
use crate::settings::{Backend, Places, RunSettings};
use crate::users;

/// Runs one build and ends as it ended.
pub(crate) fn run(args: &RunArgs, process: &Process, color: ColorChoice) -> Result<Exit, CliError> {
    let env = parse_env(&args.env)?;
    let timeout = args.timeout.as_deref().map(parse_timeout).transpose()?;
    let places = Places::find(args.source.dir.as_deref(), process)?;
    let mut settings = RunSettings::resolve(args, &places, process)?;
    let input = Input::read(args, &places, process)?;
    settings.images.lock = images::read_lock(&input.root)?;
    let pipeline = Pipeline::parse(&input.document).map_err(|problems| error::invalid_ir(&problems, &input.origins))?;
    for problem in pipeline.warnings() {
        output::note(&format!("warning: {}", error::located(problem, &input.origins)));
    }
    let request = RunRequest {
        run_id: RunId(Uuid::now_v7()),
        pipeline: Arc::new(pipeline),
        source_root: input.root,
        slug: input.slug,
        env,
        machine_env: process.env.clone(),
        options: RunOptions {
            keep_going: args.keep_going,
            no_cache: args.no_cache,
            timeout,
            images: RootImages {
                default: settings.default_image.clone(),
                forced: args.image.clone(),
            },
            grace: settings.grace,
            only: (!args.step.is_empty()).then(|| args.step.iter().map(StepKey::new).collect()),
            ..RunOptions::new(settings.parallelism, settings.default_image.clone())
        },
        branch: args.branch.clone(),
        message: args.message.clone(),
        stop_starting: CancellationToken::new(),
    };
    if settings.backend == Backend::Sandbox {
        let users = users::note(hm_sandbox::subordinate_ids(), process);
        let limits = limits::note(&request.pipeline);
        users.iter().chain(&limits).for_each(|note| output::note(note));
    }
    let look = Look {
        colored: process.colors_stdout(color),
        pulls: Arc::new(PullProgress::new(process)),
    };
    build::execute(request, &settings, look)
}

/// What is run, and on which tree.
struct Input {
    document: Vec<u8>,
    /// Where the document was written.
    origins: Origins,
    root: PathBuf,
    slug: Option<String>,
}

impl Input {
    fn read(args: &RunArgs, places: &Places, process: &Process) -> Result<Self, CliError> {
        match &args.ir {
            Some(file) => Ok(Self {
                document: read_document(file)?,
                origins: Origins::default(),
                root: places.tree(),
                slug: None,
            }),
            None => Self::of_repository(args, places, process),
        }
    }

    fn of_repository(args: &RunArgs, places: &Places, process: &Process) -> Result<Self, CliError> {
        let dir = source::find(&places.start)?.ok_or_else(|| source::no_folder(&places.start))?;
        let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
        let chosen = source.choose(args.pipeline.as_deref())?;
        Ok(Self {
            document: chosen.definition().as_bytes().to_vec(),
            origins: chosen.origins.clone(),
            slug: Some(chosen.slug.clone()),
            root: source.root,
        })
    }
}

pub(super) fn read_document(file: &Path) -> Result<Vec<u8>, CliError> {
    let read = if file == Path::new("-") {
        let mut document = Vec::new();
        io::stdin().lock().read_to_end(&mut document).map(|_| document)
    } else {
        fs::read(file)
    };
    read.map_err(|error| {
        CliError::new(
            "ir_unreadable",
            Exit::NotFound,
            format!("the document {} can't be read", file.display()),
        )
        .cause(error.to_string())
        .fix("hm render > pipeline.json && hm run --ir pipeline.json")
    })
}

fn parse_env(pairs: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    pairs.iter().map(|pair| parse_variable(pair)).collect()
}

/// `K=V`, K a name as POSIX has it (XBD 8.1).
fn parse_variable(pair: &str) -> Result<(String, String), CliError> {
    let invalid = |cause: &str| {
        CliError::new("env_invalid", Exit::Usage, format!("`-e {pair}` is not K=V"))
            .cause(cause)
            .fix("hm run -e NAME=value")
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
