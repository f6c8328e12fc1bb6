//! The backend.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hm_pipeline_ir::{Pipeline, StepIndex};
use hm_plugin_protocol::BuildRef;
use hm_store::{BuildMeta, CaptureError, CaptureRequest, Journal, Store, Workspace};

use super::pull_events::{PullEvents, PullListener};
use crate::backend::{
    BackendHandle, BuildOutcome, Capabilities, EventStream, ExecutionBackend, Feature, RunOption, RunRequest,
    StartError, control, preflight,
};
use crate::dispatch::{BuildClock, Dispatcher, DispatcherParts, Ran};
use crate::runner::{BuildContext, RunnerRegistry, causes};
use crate::state::{BuildSettings, BuildState, Selection};

/// What a [`LocalBackend`] works with.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// The word that names the backend in settings and messages.
    pub name: String,
    /// Where workspaces and journals go.
    pub store: Store,
    /// What runs steps.
    pub runners: RunnerRegistry,
    /// What the runners offer.
    pub features: BTreeSet<Feature>,
    /// What would give features that they don't offer, to be pasted.
    pub fixes: BTreeMap<Feature, String>,
    /// `.git` is part of the workspace.
    pub include_git: bool,
    /// `.hm` is part of the workspace.
    pub include_hm: bool,
}

/// Runs builds in this process.
#[derive(Debug)]
pub struct LocalBackend {
    settings: LocalSettings,
    pulls: Option<Arc<PullEvents>>,
}

impl LocalBackend {
    /// With these settings.
    pub fn new(settings: LocalSettings) -> Self {
        Self { settings, pulls: None }
    }

    /// Has builds tell of images that are got ready.
    #[must_use]
    pub fn with_pulls(self, pulls: Arc<PullEvents>) -> Self {
        Self {
            pulls: Some(pulls),
            ..self
        }
    }

    /// What the steps of the build would be told on the working tree as it stands: as [`ExecutionBackend::start`] with
    /// all steps, but without a build.
    pub async fn build_context(&self, request: RunRequest) -> Result<BuildContext, StartError> {
        let graph = request.pipeline.graph();
        let selection = Selection::all(graph);
        let LocalSettings { name, runners, .. } = &self.settings;
        preflight(name, &self.capabilities(), runners, graph, &selection)?;
        let workspace = Arc::new(self.capture(&request).await?);
        Ok(build_context(request, workspace))
    }

    /// Copies the working tree. On a thread of its own, since it uses all cores for a while.
    async fn capture(&self, request: &RunRequest) -> Result<Workspace, StartError> {
        let store = self.settings.store.clone();
        let capture = CaptureRequest {
            include_git: self.settings.include_git,
            include_hm: self.settings.include_hm,
            ..CaptureRequest::new(&request.source_root)
        };
        let stop = request.stop_starting.clone();
        let capturing = tokio::task::spawn_blocking(move || store.capture_until(&capture, &|| stop.is_cancelled()));
        match capturing.await {
            Ok(captured) => captured.map_err(capture_error),
            Err(died) => Err(StartError::Workspace(Box::new(died))),
        }
    }
}

#[async_trait]
impl ExecutionBackend for LocalBackend {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            features: self.settings.features.clone(),
            fixes: self.settings.fixes.clone(),
            options: RunOption::ALL.into(),
        }
    }

    async fn start(&self, request: RunRequest) -> Result<BackendHandle, StartError> {
        let graph = request.pipeline.graph();
        let selection = match &request.options.only {
            Some(keys) => Selection::with_needs(graph, keys)?,
            None => Selection::all(graph),
        };
        let runners = &self.settings.runners;
        let warnings = preflight(&self.settings.name, &self.capabilities(), runners, graph, &selection)?;
        let workspace = Arc::new(self.capture(&request).await?);
        let journal = Journal::create(&self.settings.store, &meta(&request)).map_err(journal_error)?;
        let events = EventStream::new(journal.reader().map_err(journal_error)?);
        let notes = workspace.notes.clone();
        let history = (request.source_root.clone(), Arc::clone(&request.pipeline));
        let (mut control, control_end) = control();
        let started_at = self.settings.store.now();
        let settings = self.build_settings(&request, selection, started_at, journal.number());
        let dispatcher = Dispatcher::new(DispatcherParts {
            state: BuildState::new(settings, &known_durations(&self.settings.store, &request)),
            build: Arc::new(build_context(request, workspace)),
            runners: runners.clone(),
            log: journal,
            clock: BuildClock::start(started_at),
            control: control_end,
            pulls: self
                .pulls
                .as_ref()
                .map_or_else(PullListener::deaf, |pulls| pulls.listen()),
        });
        let store = self.settings.store.clone();
        control.run(async move {
            let ran = dispatcher.run().await?;
            Ok(remember_durations(store, history, ran).await)
        });
        Ok(BackendHandle::new(events, control, warnings, notes))
    }
}

impl LocalBackend {
    fn build_settings(
        &self,
        request: &RunRequest,
        selection: Selection,
        started_at: jiff::Timestamp,
        number: u64,
    ) -> BuildSettings {
        let options = &request.options;
        BuildSettings {
            run_id: request.run_id,
            pipeline: Arc::clone(&request.pipeline),
            selection,
            started_at,
            accepted: Some(BuildRef {
                run_id: request.run_id,
                number,
                org: None,
                pipeline: request.slug.clone(),
            }),
            parallelism: options.parallelism,
            open_lookups: options.open_lookups,
            keep_going: options.keep_going,
            timeout: options.timeout.or(request.pipeline.timeout()),
            default_runner: self.settings.runners.default_runner_name().to_owned(),
            images: options.images.clone(),
        }
    }
}

fn meta(request: &RunRequest) -> BuildMeta {
    BuildMeta {
        run_id: request.run_id,
        source_root: request.source_root.clone(),
        slug: request.slug.clone(),
        branch: request.branch.clone(),
        message: request.message.clone(),
    }
}

/// How long steps took in earlier builds of the same folder. Without them the build is merely in another order, so
/// that a failure to read them is none of the build's.
fn known_durations(store: &Store, request: &RunRequest) -> impl Fn(StepIndex) -> Option<Duration> + use<> {
    let known = store.durations(&request.source_root).unwrap_or_default();
    let pipeline = Arc::clone(&request.pipeline);
    move |at| known.get(pipeline.graph().step(at).key.as_str()).copied()
}

/// Notes how long steps took, for the order of the next build.
async fn remember_durations(store: Store, history: (PathBuf, Arc<Pipeline>), ran: Ran) -> BuildOutcome {
    let Ran { mut outcome, durations } = ran;
    if durations.is_empty() {
        return outcome;
    }
    let (source_root, pipeline) = history;
    let recorded = tokio::task::spawn_blocking(move || {
        let key = |at| pipeline.graph().step(at).key.as_str();
        store.record_durations(&source_root, durations.iter().map(|&(at, took)| (key(at), took)))
    });
    let problem = match recorded.await {
        Ok(Ok(())) => return outcome,
        Ok(Err(error)) => causes(&error),
        Err(died) => causes(&died),
    };
    outcome
        .leftovers
        .push(format!("can't note how long steps took: {}", problem.join(": ")));
    outcome
}

fn build_context(request: RunRequest, workspace: Arc<Workspace>) -> BuildContext {
    let RunRequest {
        run_id,
        pipeline,
        source_root: _,
        slug: _,
        env,
        machine_env,
        options,
        branch: _,
        message: _,
        stop_starting: _,
    } = request;
    BuildContext {
        run_id,
        pipeline,
        env,
        machine_env,
        images: options.images,
        no_cache: options.no_cache,
        workspace: Some(workspace),
        grace: options.grace,
    }
}

fn capture_error(error: CaptureError) -> StartError {
    match error {
        CaptureError::Stopped => StartError::Stopped,
        CaptureError::Copy { .. } | CaptureError::Manifest { .. } | CaptureError::Index(_) => {
            StartError::Store(Box::new(error))
        }
        CaptureError::File(_) | CaptureError::KeepsChanging { .. } => StartError::Workspace(Box::new(error)),
    }
}

fn journal_error(error: hm_store::JournalError) -> StartError {
    StartError::Journal(Box::new(error))
}
