//! Wires a store, a machine backend and the local execution backend, runs one build, and draws its events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, IsTerminal, Write, stdout};
use std::sync::Arc;

use hm_exec::{
    BackendHandle, BuildError, BuildOutcome, EventStream, EventsError, ExecutionBackend, Feature, LocalBackend,
    LocalSettings, PullEvents, Rejection, RunRequest, RunnerRegistry, StartError, StepError, StepKeys, VmRunner,
};
use hm_plugin_protocol::CancelReason;
use hm_render::{HumanRenderer, HumanSettings, JsonRenderer, Renderer};
use hm_store::image::PullObserver;
use hm_store::{Images, Store, SystemClock};
use hm_vm::{DockerBackend, DockerSettings, HmVm, HmVmSettings, SandboxBackend, SandboxSettings, VmBackend};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use crate::cli::Format;
use crate::engine;
use crate::error::CliError;
use crate::exit::Exit;
use crate::network::Networks;
use crate::output;
use crate::pulls::PullProgress;
use crate::settings::{Backend, RunSettings};
use crate::signals::{Asked, Signals};
use crate::wiring;

/// Events that are drawn before the drawing looks whether there are more.
const BATCH: usize = 1024;

/// How a build is shown.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Whether standard output is coloured.
    pub(crate) colored: bool,
    pub(crate) pulls: Arc<PullProgress>,
}

/// Runs the build to its end. When this returns in order, nothing of it is left running.
pub(crate) fn execute(request: RunRequest, settings: &RunSettings, look: Look) -> Result<Exit, CliError> {
    let runtime = wiring::runtime()?;
    let store = wiring::open_store(&settings.store)?;
    let pulls = Arc::clone(&look.pulls);
    let end = runtime.block_on(run_on(&store, request, settings, look));
    pulls.end();
    // A drawing that is stuck on its reader must not keep a process alive that was told to end.
    runtime.shutdown_background();
    if !matches!(end, Ok(Exit::Interrupted)) {
        keep_within_limit(&store, settings);
    }
    let closed = store
        .close()
        .map_err(|error| wiring::store_error(&error, &settings.store));
    let exit = end?;
    if exit != Exit::Interrupted {
        closed?;
    }
    // What was not waited for may still have been writing; the next start sweeps it.
    Ok(exit)
}

/// Evicts what the cache has too much of. What was built is as good without it.
fn keep_within_limit(store: &Store, settings: &RunSettings) {
    let Some(limit) = settings.cache_max_bytes else { return };
    if let Err(error) = store.keep_within(limit) {
        output::note(&format!(
            "warning: the cache may take more than cache.max_bytes: {error}"
        ));
    }
}

async fn run_on(store: &Store, request: RunRequest, settings: &RunSettings, look: Look) -> Result<Exit, CliError> {
    // Signals first: one that comes while the tree is captured must stop the build, too.
    let mut signals = Signals::install().map_err(|error| {
        CliError::from_error("signals", Exit::Unavailable, &error).fix("raise the limit of open files: ulimit -n 4096")
    })?;
    let pulls = Arc::new(PullEvents::new(look.pulls.clone()));
    let made = machines(store, &request, settings, pulls.clone()).await?;
    let machines = Arc::clone(&made.machines);
    let mut upkeep = JoinSet::new();
    let kept = store.clone();
    upkeep.spawn_blocking(move || {
        if let Err(error) = kept.make_durable_when_due() {
            output::note(&format!(
                "warning: cached results may not survive a loss of power: {error}"
            ));
        }
    });
    let backend = local(store, made, settings).backend.with_pulls(pulls);
    let exit = run_build(&backend, request, &mut signals, settings.format, look).await;
    if let Err(error) = machines.close().await {
        output::note(&format!("warning: {error}"));
    }
    exit
}

/// What makes the machines.
struct Chosen {
    machines: Arc<dyn VmBackend>,
    /// The word for their platform in cache keys.
    platform: String,
    /// What of the IR they offer.
    features: BTreeSet<Feature>,
    /// What would give more of it.
    fixes: BTreeMap<Feature, String>,
}

async fn machines(
    store: &Store,
    request: &RunRequest,
    settings: &RunSettings,
    told: Arc<dyn PullObserver>,
) -> Result<Chosen, CliError> {
    match &settings.backend {
        Backend::Sandbox => {
            let sandbox = SandboxSettings {
                store: store.clone(),
                expose: settings.expose.clone(),
                home: settings.home.clone(),
                slirp4netns: settings.networks.slirp4netns.as_ref().ok().cloned(),
                roots: settings.roots,
                open_files: settings.open_files.soft,
            };
            let (features, fixes) = sandbox_features(&settings.networks);
            let images = Images::new(store.clone(), settings.images.clone());
            let mut machines = SandboxBackend::with_images(sandbox, images, told);
            if let Some(address) = settings.engine.clone() {
                machines = machines.with_engine(address);
            }
            Ok(Chosen {
                machines: Arc::new(machines),
                platform: format!("linux/{}", std::env::consts::ARCH),
                features,
                fixes,
            })
        }
        Backend::Docker { address } => {
            let settings = DockerSettings {
                store: store.clone(),
                address: address.clone(),
                run: Some(request.run_id.to_string()),
                registries: settings.images.registry.clone(),
                observer: Some(Arc::new(engine::Notes)),
            };
            let connected = DockerBackend::connect(settings).await;
            let backend = connected.map_err(|error| engine::unavailable(&error, address))?;
            // Snapshots of an engine are of no use to the sandbox, and the other way round.
            let platform = format!("docker:{}", backend.platform());
            Ok(Chosen {
                machines: Arc::new(backend),
                platform,
                features: [Feature::NoNetwork, Feature::IsolatedNetwork, Feature::Resources].into(),
                fixes: BTreeMap::new(),
            })
        }
    }
}

fn sandbox_features(networks: &Networks) -> (BTreeSet<Feature>, BTreeMap<Feature, String>) {
    let always = [Feature::NoNetwork, Feature::Resources];
    match &networks.slirp4netns {
        Ok(_) => (
            always.into_iter().chain([Feature::IsolatedNetwork]).collect(),
            BTreeMap::new(),
        ),
        Err(lack) => {
            let fixes = [(Feature::IsolatedNetwork, lack.fix.to_owned())];
            (always.into(), fixes.into())
        }
    }
}

/// The execution backend of this machine with its one runner.
struct Local {
    backend: LocalBackend,
    runner: Arc<VmRunner>,
}

fn local(store: &Store, made: Chosen, settings: &RunSettings) -> Local {
    let Chosen {
        machines,
        platform,
        features,
        fixes,
    } = made;
    let name = machines.name().to_owned();
    let hmvm = HmVm::new(HmVmSettings {
        backend: machines,
        cache: Arc::new(store.clone()),
        clock: Arc::new(SystemClock),
        default_network: settings.networks.default,
        platform,
    });
    let runner = Arc::new(VmRunner::new(hmvm));
    let backend = LocalBackend::new(LocalSettings {
        name,
        store: store.clone(),
        runners: RunnerRegistry::new(runner.clone()),
        features,
        fixes,
        include_git: settings.workspace.include_git,
        include_hm: settings.workspace.include_hm,
    });
    Local { backend, runner }
}

/// The keys under which [`execute`] would look the steps up. Gets images ready and captures the tree; runs nothing.
pub(crate) fn step_keys(
    request: RunRequest,
    settings: &RunSettings,
    pulls: &Arc<PullProgress>,
) -> Result<StepKeys, CliError> {
    let runtime = wiring::runtime()?;
    let store = wiring::open_store(&settings.store)?;
    let keys = runtime.block_on(step_keys_on(&store, request, settings, Arc::clone(pulls)));
    pulls.end();
    let closed = store.close();
    let keys = keys?;
    closed.map_err(|error| wiring::store_error(&error, &settings.store))?;
    Ok(keys)
}

async fn step_keys_on(
    store: &Store,
    request: RunRequest,
    settings: &RunSettings,
    pulls: Arc<PullProgress>,
) -> Result<StepKeys, CliError> {
    let made = machines(store, &request, settings, pulls).await?;
    let machines = Arc::clone(&made.machines);
    let Local { backend, runner } = local(store, made, settings);
    let keys = match backend.build_context(request).await {
        Ok(build) => runner.step_keys(&build).await.map_err(|error| keys_error(&error)),
        Err(error) => Err(start_error(&error)),
    };
    if let Err(error) = machines.close().await {
        output::note(&format!("warning: {error}"));
    }
    keys
}

fn keys_error(error: &StepError) -> CliError {
    let told = CliError::from_error("keys_unknown", Exit::Unavailable, error);
    error.fixes().into_iter().fold(told, CliError::fix)
}

async fn run_build(
    backend: &LocalBackend,
    request: RunRequest,
    signals: &mut Signals,
    format: Format,
    look: Look,
) -> Result<Exit, CliError> {
    let handle = match start(backend, request, signals).await? {
        Start::Started(handle) => handle,
        Start::Ended(exit) => return Ok(exit),
    };
    for warning in handle.warnings() {
        output::note(&format!("warning: {warning}; {}", warning.fix));
    }
    for note in handle.notes() {
        output::note(&format!("note: {note}"));
    }
    let (events, mut control) = handle.into_parts();
    let canceller = control.canceller();
    let mut drawing = JoinSet::new();
    let runtime = Handle::current();
    drawing.spawn_blocking(move || draw(&runtime, events, format, &look));
    let end = async {
        let outcome = control.wait().await;
        (outcome, drawing.join_next().await)
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            (outcome, drawn) = &mut end => return verdict(outcome, drawn),
            asked = signals.next() => match asked {
                Asked::Cancel(reason) => canceller.cancel(reason),
                Asked::Now => return Ok(Exit::Interrupted),
            },
        }
    }
}

/// What came of starting a build.
enum Start {
    Started(BackendHandle),
    /// The user did not wait for it.
    Ended(Exit),
}

/// Starts the build. A signal that comes before it runs ends all: there is nothing yet that has to be stopped in order.
async fn start(backend: &LocalBackend, request: RunRequest, signals: &mut Signals) -> Result<Start, CliError> {
    let stop = request.stop_starting.clone();
    let starting = backend.start(request);
    tokio::pin!(starting);
    let mut cancelled = None;
    loop {
        tokio::select! {
            started = &mut starting => return match (started, cancelled) {
                (Err(StartError::Stopped), Some(reason)) => Err(cancelled_error(reason)),
                (Err(error), _) => Err(start_error(&error)),
                (Ok(handle), None) => Ok(Start::Started(handle)),
                (Ok(handle), Some(reason)) => {
                    handle.cancel(reason);
                    Ok(Start::Started(handle))
                }
            },
            asked = signals.next() => match asked {
                Asked::Cancel(reason) => {
                    cancelled = cancelled.max(Some(reason));
                    stop.cancel();
                }
                Asked::Now => return Ok(Start::Ended(Exit::Interrupted)),
            },
        }
    }
}

fn cancelled_error(reason: CancelReason) -> CliError {
    let (exit, signal) = match reason {
        CancelReason::Interrupt => (Exit::Interrupted, "SIGINT"),
        CancelReason::Terminate | CancelReason::BuildTimeout | CancelReason::StepFailed => {
            (Exit::Terminated, "SIGTERM or SIGHUP")
        }
    };
    CliError::from_error("cancelled", exit, &StartError::Stopped)
        .cause(format!("{signal} came while the working tree was captured"))
}

fn start_error(error: &StartError) -> CliError {
    match error {
        StartError::Rejected(rejection) => rejected(rejection),
        StartError::UnknownStep(_) => {
            CliError::from_error("step_unknown", Exit::NotFound, error).fix("hm render | grep '\"key\"' lists the keys")
        }
        StartError::Workspace(_) => {
            let told = CliError::from_error("workspace_unreadable", Exit::Usage, error);
            if is_closed(error) {
                told.fix("make the file readable, or name it in .gitignore")
            } else {
                told
            }
        }
        StartError::Stopped => cancelled_error(CancelReason::Terminate),
        StartError::Journal(_) | StartError::Store(_) => {
            CliError::from_error("store_unavailable", Exit::Unavailable, error)
                .fix("check the space on the disk of the store: df -h")
        }
    }
}

/// Whether a file was closed to this user.
fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    let errors = std::iter::successors(Some(error), |error| error.source());
    errors
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Everything that the backend refuses, under a code of its own where it is only runners.
fn rejected(rejection: &Rejection) -> CliError {
    let only_runners = rejection.objections.iter().all(|objection| objection.field == "runner");
    let (code, message) = if only_runners {
        ("runner_unknown", "the pipeline asks for a runner that is not there")
    } else {
        (
            "feature_unsupported",
            "the pipeline asks for what this backend doesn't offer",
        )
    };
    rejection
        .objections
        .iter()
        .fold(CliError::new(code, Exit::Rejected, message), |error, objection| {
            error.cause(objection.to_string()).fix(objection.fix.clone())
        })
}

fn verdict(outcome: Result<BuildOutcome, BuildError>, drawn: Option<Drawn>) -> Result<Exit, CliError> {
    let outcome = outcome.map_err(|error| {
        CliError::from_error("build_broken", Exit::Unavailable, &error)
            .fix("check the space on the disk of the store: df -h")
    })?;
    for leftover in &outcome.leftovers {
        output::note(&format!("warning: {leftover}"));
    }
    let exit = Exit::Build(u8::try_from(outcome.exit_code).unwrap_or(u8::MAX));
    match drawn {
        Some(Ok(Ok(()))) | None => Ok(exit),
        Some(Ok(Err(DrawError::Events(error)))) => Err(drawing_error(&error)),
        // That the build failed tells more than that not all of it could be shown.
        Some(Ok(Err(DrawError::Output(error)))) => Err(output::unwritable(
            &error,
            if outcome.exit_code == 0 {
                Exit::Unavailable
            } else {
                exit
            },
        )),
        Some(Err(panic)) => Err(drawing_error(&panic)),
    }
}

/// Why the drawing ended early.
#[derive(Debug)]
enum DrawError {
    Events(EventsError),
    Output(io::Error),
}

/// How the drawing ended, if it was not ended from outside.
type Drawn = Result<Result<(), DrawError>, JoinError>;

fn drawing_error(error: &(dyn std::error::Error + 'static)) -> CliError {
    CliError::from_error("events_unreadable", Exit::Unavailable, error)
        .cause("the build ended, but not all of its events could be shown")
        .fix("check the disk of the store, and run again")
}

/// Draws every event, at the speed of whoever reads standard output. A reader that goes away ends the drawing, not the
/// build; any other refusal is told when the build has ended.
fn draw(runtime: &Handle, mut events: EventStream, format: Format, look: &Look) -> Result<(), DrawError> {
    let mut renderer: Box<dyn Renderer> = match format {
        Format::Human => Box::new(HumanRenderer::new(HumanSettings {
            color: look.colored,
            cached_logs: false,
        })),
        Format::Json => Box::new(JsonRenderer::new()),
    };
    let is_terminal = stdout().is_terminal();
    let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
    while let Some(batch) = runtime.block_on(events.next_batch(BATCH)).map_err(DrawError::Events)? {
        let mut write = || {
            batch
                .iter()
                .try_for_each(|event| renderer.render(event, &mut out))
                .and_then(|()| out.flush())
        };
        // A reader that is slow must not hold up the pulls.
        let drawn = if is_terminal { look.pulls.aside(write) } else { write() };
        if let Err(error) = drawn {
            // What is buffered has no reader either.
            drop(out.into_parts());
            return if error.kind() == io::ErrorKind::BrokenPipe {
                Ok(())
            } else {
                Err(DrawError::Output(error))
            };
        }
    }
    Ok(())
}
