//! A place for builds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hm_exec::{
    BackendHandle, BuildOutcome, Control, EventStream, ExecutionBackend, Feature, LocalBackend, LocalSettings,
    RunOptions, RunRequest, RunnerRegistry, VmRunner,
};
use hm_pipeline_ir::Pipeline;
use hm_plugin_protocol::{BuildEvent, BuildView, RunId, Sequenced, StepId};
use hm_store::{Store, StoreSettings, SystemClock};
use hm_vm::{HmVm, HmVmSettings, MemoryBackend, MemoryCache, Network, StepCache};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// A store, a working tree and machines in memory.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) vms: Arc<MemoryBackend>,
    pub(crate) cache: MemoryCache,
    pub(crate) backend: LocalBackend,
    store: Store,
}

/// What is to be run.
#[derive(Clone)]
pub(crate) struct Plan {
    nodes: Vec<Value>,
    edges: Vec<Value>,
    pub(crate) options: RunOptions,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) machine_env: BTreeMap<String, String>,
    pub(crate) timeout: Option<u32>,
}

/// How it went.
pub(crate) struct Built {
    pub(crate) outcome: BuildOutcome,
    pub(crate) events: Vec<BuildEvent>,
    keys: HashMap<StepId, String>,
    pub(crate) took: Duration,
}

pub(crate) fn plan() -> Plan {
    let four = NonZeroUsize::new(4).expect("four is not zero");
    Plan {
        nodes: Vec::new(),
        edges: Vec::new(),
        options: RunOptions::new(four, "base"),
        env: BTreeMap::new(),
        machine_env: BTreeMap::new(),
        timeout: None,
    }
}

impl Plan {
    pub(crate) fn step(self, key: &str, cmd: &str) -> Self {
        self.with(key, cmd, &json!({}))
    }

    pub(crate) fn cached(self, key: &str, cmd: &str) -> Self {
        self.with(
            key,
            cmd,
            &json!({ "cache": { "policy": "forever", "env_keys": ["CC"] } }),
        )
    }

    pub(crate) fn with(mut self, key: &str, cmd: &str, more: &Value) -> Self {
        let mut step = json!({ "key": key, "cmd": cmd });
        for (field, value) in more.as_object().expect("fields") {
            step[field] = value.clone();
        }
        self.nodes.push(json!({ "step": step, "env": { "FROM": "pipeline" } }));
        self
    }

    /// The last step boots from step `parent`.
    pub(crate) fn on(mut self, parent: usize) -> Self {
        self.edges.push(json!([parent, self.nodes.len() - 1, "builds_in"]));
        self
    }

    pub(crate) fn pipeline(&self) -> Arc<Pipeline> {
        let graph = json!({ "nodes": self.nodes, "edge_property": "directed", "edges": self.edges });
        let mut document = json!({ "version": "0", "graph": graph });
        if let Some(seconds) = self.timeout {
            document["timeout_seconds"] = seconds.into();
        }
        Arc::new(Pipeline::parse(document.to_string().as_bytes()).expect("the pipelines of these tests are valid"))
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_cache(|_, cache| Arc::new(cache.clone()))
    }

    /// `pick` says which cache steps use.
    pub(crate) fn with_cache(pick: impl FnOnce(&Store, &MemoryCache) -> Arc<dyn StepCache>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("tree")).expect("a working tree");
        let settings = StoreSettings {
            root: folder.path().join("store"),
            clock: Arc::new(SystemClock),
        };
        let store = Store::open(settings).expect("a new store");
        let (vms, cache) = (Arc::new(MemoryBackend::new()), MemoryCache::default());
        let hmvm = HmVm::new(HmVmSettings {
            backend: Arc::clone(&vms) as Arc<dyn hm_vm::VmBackend>,
            cache: pick(&store, &cache),
            clock: Arc::new(SystemClock),
            default_network: Network::Host,
            platform: "linux/amd64".to_owned(),
        });
        let backend = LocalBackend::new(LocalSettings {
            name: "memory".to_owned(),
            store: store.clone(),
            runners: RunnerRegistry::new(Arc::new(VmRunner::new(hmvm))),
            features: BTreeSet::from([Feature::NoNetwork]),
            fixes: BTreeMap::new(),
            include_git: false,
            include_hm: false,
        });
        Self {
            folder,
            vms,
            cache,
            backend,
            store,
        }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.tree().join(name), content).expect("a file of the working tree");
    }

    pub(crate) fn request(&self, plan: &Plan) -> RunRequest {
        RunRequest {
            run_id: RunId(Uuid::new_v4()),
            pipeline: plan.pipeline(),
            source_root: self.tree(),
            slug: Some("ci".to_owned()),
            env: plan.env.clone(),
            machine_env: plan.machine_env.clone(),
            options: plan.options.clone(),
            branch: None,
            message: None,
            stop_starting: tokio_util::sync::CancellationToken::new(),
        }
    }

    pub(crate) async fn start(&self, plan: &Plan) -> BackendHandle {
        self.backend.start(self.request(plan)).await.expect("the build starts")
    }

    pub(crate) async fn run(&self, plan: &Plan) -> Built {
        self.run_with(plan, |_| {}).await
    }

    /// `interfere` gets the control when the first step has started.
    pub(crate) async fn run_with(&self, plan: &Plan, interfere: impl FnOnce(&Control)) -> Built {
        let begun = tokio::time::Instant::now();
        let (mut stream, mut control) = self.start(plan).await.into_parts();
        let mut events = Vec::new();
        read_until(&mut stream, &mut events, |event| {
            matches!(event, BuildEvent::StepStart { .. })
        })
        .await;
        interfere(&control);
        let outcome = control.wait().await.expect("the build has a verdict");
        let took = begun.elapsed();
        read_until(&mut stream, &mut events, |_| false).await;
        assert!(
            events.iter().map(|event| event.seq).eq(0..events.len() as u64),
            "no gap in the numbers"
        );
        assert_eq!(outcome.leftovers, Vec::<String>::new());
        let events: Vec<_> = events.into_iter().map(|event| event.event).collect();
        check_view(&events, &outcome);
        let keys = events.iter().filter_map(|event| match event {
            BuildEvent::StepQueued { step_id, key, .. } => Some((*step_id, key.clone())),
            _ => None,
        });
        Built {
            keys: keys.collect(),
            outcome,
            events,
            took,
        }
    }

    /// That the builds left nothing but the snapshots of cached steps, and their store closes.
    pub(crate) fn close(self) {
        assert_eq!(
            self.vms.snapshot_count(),
            self.cache.len(),
            "snapshots that nobody can use"
        );
        let Self {
            folder,
            vms,
            cache,
            backend,
            store,
        } = self;
        drop((backend, vms, cache));
        store.close().expect("the store closes");
        folder.close().expect("the folder goes");
    }
}

/// Reads until an event that fits, or to the end.
async fn read_until(stream: &mut EventStream, events: &mut Vec<Sequenced>, fits: impl Fn(&BuildEvent) -> bool) {
    while let Some(batch) = stream.next_batch(100).await.expect("the journal can be read") {
        let found = batch.iter().any(|event| fits(&event.event));
        events.extend(batch);
        if found {
            return;
        }
    }
}

impl Built {
    pub(crate) fn exit_code(&self) -> i32 {
        self.outcome.exit_code
    }

    /// How the step ended, in a word or two.
    pub(crate) fn end(&self, key: &str) -> String {
        let ends = self.events.iter().filter_map(|event| match event {
            BuildEvent::StepEnd {
                step_id,
                status,
                exit_code,
                ..
            } if self.keys[step_id] == key => Some(format!("{status:?} {exit_code}")),
            BuildEvent::StepSkipped {
                key: skipped, reason, ..
            } if skipped == key => Some(format!("Skipped {}", json!(reason)["kind"])),
            _ => None,
        });
        ends.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn causes(&self, key: &str) -> Vec<String> {
        let causes = self.events.iter().find_map(|event| match event {
            BuildEvent::StepEnd { step_id, causes, .. } if self.keys[step_id] == key => Some(causes.clone()),
            _ => None,
        });
        causes.unwrap_or_default()
    }

    /// The step's output.
    pub(crate) fn log(&self, key: &str) -> Vec<String> {
        let lines = self.events.iter().filter_map(|event| match event {
            BuildEvent::StepLog { step_id, line, .. } if self.keys[step_id] == key => Some(line.clone()),
            _ => None,
        });
        lines.collect()
    }
}

/// That the fold of the events comes to the same end as the build.
fn check_view(events: &[BuildEvent], outcome: &BuildOutcome) {
    let mut view = BuildView::new();
    for event in events {
        view.apply(event);
    }
    let verdict = view.verdict().expect("the build ended");
    assert_eq!((verdict.status, verdict.exit_code), (outcome.status, outcome.exit_code));
    assert!(
        view.steps().iter().all(|step| step.phase.is_terminal()),
        "{:?}",
        view.steps()
    );
    assert_eq!(view.plan().map(|plan| plan.step_count), Some(view.counts().total()));
}
