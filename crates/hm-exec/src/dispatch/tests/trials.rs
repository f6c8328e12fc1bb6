//! A build on the scripted runner, and what came of it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hm_pipeline_ir::Pipeline;
use hm_plugin_protocol::{BuildEvent, RunId, StepId};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::memory_log::MemoryLog;
use super::scripted_runner::ScriptedRunner;
use crate::backend::{BuildError, BuildOutcome, Control, control};
use crate::dispatch::{BuildClock, Dispatcher, DispatcherParts};
use crate::local::PullListener;
use crate::root_images::RootImages;
use crate::runner::{BuildContext, RunnerRegistry};
use crate::state::{BuildSettings, BuildState, Selection};

/// A build to be tried.
pub(super) struct Trial {
    nodes: Vec<Value>,
    edges: Vec<Value>,
    pub(super) parallelism: usize,
    pub(super) keep_going: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) log: MemoryLog,
}

/// How it went.
pub(super) struct Tried {
    pub(super) outcome: Result<BuildOutcome, BuildError>,
    pub(super) events: Vec<BuildEvent>,
    pub(super) runner: Arc<ScriptedRunner>,
    pub(super) took: Duration,
    keys: BTreeMap<StepId, String>,
}

impl Trial {
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            edges: Vec::new(),
            parallelism: 4,
            keep_going: false,
            timeout: None,
            log: MemoryLog::default(),
        }
    }

    pub(super) fn step(self, key: &str, cmd: &str) -> Self {
        self.with(key, cmd, &json!({}))
    }

    pub(super) fn with(mut self, key: &str, cmd: &str, more: &Value) -> Self {
        let mut step = json!({ "key": key, "cmd": cmd });
        for (field, value) in more.as_object().expect("fields") {
            step[field] = value.clone();
        }
        self.nodes
            .push(json!({ "step": step, "env": { "FROM": "pipeline", "KEPT": "yes" } }));
        self
    }

    pub(super) fn cached(self, key: &str, cmd: &str, lookup: &str) -> Self {
        self.with(
            key,
            cmd,
            &json!({ "cache": { "policy": "forever", "env_keys": [lookup] } }),
        )
    }

    /// The last step boots from step `parent`.
    pub(super) fn on(mut self, parent: usize) -> Self {
        self.edges.push(json!([parent, self.nodes.len() - 1, "builds_in"]));
        self
    }

    /// The last step comes after step `before`.
    pub(super) fn after(mut self, before: usize) -> Self {
        self.edges.push(json!([before, self.nodes.len() - 1, "depends_on"]));
        self
    }

    pub(super) async fn run(self) -> Tried {
        self.run_with(|_| {}).await
    }

    /// `interfere` gets the control over the build once it runs.
    pub(super) async fn run_with(self, interfere: impl FnOnce(&Control)) -> Tried {
        let started = tokio::time::Instant::now();
        let runner = Arc::new(ScriptedRunner::default());
        let log = self.log.clone();
        let pipeline = self.pipeline();
        let graph = pipeline.graph();
        let run_id = RunId(Uuid::nil());
        let key_of = |at| graph.step(at).key.as_str().to_owned();
        let keys = graph
            .indices()
            .map(|at| (StepId::derive(run_id, &key_of(at)), key_of(at)))
            .collect();
        let (mut control, control_end) = control();
        let dispatcher = Dispatcher::new(DispatcherParts {
            state: BuildState::new(self.settings(run_id, &pipeline), &|_| None),
            build: Arc::new(context(run_id, &pipeline)),
            runners: RunnerRegistry::new(Arc::clone(&runner) as Arc<dyn crate::runner::StepRunner>),
            log: log.clone(),
            clock: BuildClock::start(Timestamp::UNIX_EPOCH),
            control: control_end,
            pulls: PullListener::deaf(),
        });
        control.run(async move { Ok(dispatcher.run().await?.outcome) });
        interfere(&control);
        let outcome = control.wait().await;
        let events = log.events.lock().expect("no panic holds this").clone();
        let tried = Tried {
            outcome,
            events,
            runner,
            took: started.elapsed(),
            keys,
        };
        tried.check_nothing_is_left();
        tried
    }

    fn pipeline(&self) -> Arc<Pipeline> {
        let document = json!({
            "version": "0",
            "graph": { "nodes": self.nodes, "edge_property": "directed", "edges": self.edges },
        });
        Arc::new(Pipeline::parse(document.to_string().as_bytes()).expect("the pipelines of these tests are valid"))
    }

    fn settings(&self, run_id: RunId, pipeline: &Arc<Pipeline>) -> BuildSettings {
        BuildSettings {
            run_id,
            pipeline: Arc::clone(pipeline),
            selection: Selection::all(pipeline.graph()),
            started_at: Timestamp::UNIX_EPOCH,
            accepted: None,
            parallelism: NonZeroUsize::new(self.parallelism).expect("at least one"),
            open_lookups: NonZeroUsize::MIN,
            keep_going: self.keep_going,
            timeout: self.timeout,
            default_runner: "scripted".to_owned(),
            images: RootImages {
                default: "host".to_owned(),
                forced: None,
            },
        }
    }
}

fn context(run_id: RunId, pipeline: &Arc<Pipeline>) -> BuildContext {
    BuildContext {
        run_id,
        pipeline: Arc::clone(pipeline),
        env: BTreeMap::from([("FROM".to_owned(), "caller".to_owned())]),
        machine_env: BTreeMap::new(),
        images: RootImages {
            default: "host".to_owned(),
            forced: None,
        },
        no_cache: false,
        workspace: None,
        grace: Duration::from_secs(10),
    }
}

impl Tried {
    fn check_nothing_is_left(&self) {
        assert_eq!(self.runner.preparing.load(Ordering::SeqCst), 0, "images are looked for");
        assert_eq!(self.runner.at_work.load(Ordering::SeqCst), 0, "a step is at work");
        assert_eq!(
            *self.runner.snapshots.lock().expect("no panic holds this"),
            std::collections::BTreeSet::new()
        );
        assert_eq!(Arc::strong_count(&self.runner.locks), 1, "a lock is held");
        assert_eq!(self.runner.builds_ended.load(Ordering::SeqCst), 1);
    }

    pub(super) fn exit_code(&self) -> i32 {
        self.outcome.as_ref().expect("the build has a verdict").exit_code
    }

    /// The events, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        self.events.iter().filter_map(|event| self.line(event)).collect()
    }

    /// Those of one step.
    pub(super) fn of(&self, key: &str) -> Vec<String> {
        let prefix = format!("{key} ");
        self.lines()
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
            .collect()
    }

    fn line(&self, event: &BuildEvent) -> Option<String> {
        match event {
            BuildEvent::BuildStart { .. } => Some("build start".to_owned()),
            BuildEvent::StepQueued { key, .. } => Some(format!("{key} queued")),
            BuildEvent::StepStart { step_id, .. } => Some(format!("{} start", self.keys[step_id])),
            BuildEvent::StepLog {
                step_id, stream, line, ..
            } => Some(format!("{} {stream:?}: {line}", self.keys[step_id])),
            BuildEvent::StepCacheHit { key, tag, .. } => Some(format!("{key} hit: {tag}")),
            BuildEvent::StepSkipped { key, reason, .. } => Some(format!("{key} {}", json!(reason))),
            BuildEvent::StepUsage { step_id, cpu_ms, .. } => Some(format!("{} {cpu_ms} ms", self.keys[step_id])),
            BuildEvent::StepEnd {
                step_id,
                exit_code,
                status,
                causes,
                ..
            } => {
                let end = format!("{} {status:?} {exit_code}", self.keys[step_id]);
                Some([&[end], causes.as_slice()].concat().join(": "))
            }
            BuildEvent::BuildEnd { exit_code, status, .. } => Some(format!("build {status:?} {exit_code}")),
            _ => None,
        }
    }
}
