//! What the engine itself costs a step: `cargo bench -p hm-exec --bench scheduling [STEPS]`.
//!
//! Prints a table of microseconds a step for each shape of graph: the pure state alone; a whole build (state,
//! dispatcher, journal, a reader of all events) with a runner that does nothing; the same on machines in memory.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hm_exec::{
    AttemptEnd, BuildSettings, BuildState, Effect, ExecutionBackend, Input, LocalBackend, LocalSettings, RootImages,
    RunOptions, RunRequest, RunnerRegistry, Selection, StepContext, StepError, StepRunner, VmRunner,
};
use hm_pipeline_ir::Pipeline;
use hm_plugin_protocol::{ExecutorInput, RunId, SnapshotRef, StepResult};
use hm_store::{Store, StoreSettings, SystemClock};
use hm_vm::{HmVm, HmVmSettings, MemoryBackend, MemoryCache, Network};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let steps = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(100_000);
    println!("{steps} steps, microseconds a step\n");
    println!(
        "{:<10}{:>12}{:>16}{:>16}",
        "graph", "state", "empty runner", "in memory"
    );
    for (name, edges) in [
        ("wide", wide as fn(usize) -> Vec<Value>),
        ("chain", chain),
        ("layered", layered),
    ] {
        let pipeline = pipeline(steps, &edges(steps))?;
        let state = per_step(steps, state_alone(&pipeline));
        let empty = per_step(steps, whole_build(&pipeline, RunnerRegistry::new(Arc::new(Empty)))?);
        let memory = per_step(
            steps,
            whole_build(&pipeline, RunnerRegistry::new(Arc::new(in_memory())))?,
        );
        println!("{name:<10}{state:>12.2}{empty:>16.2}{memory:>16.2}");
    }
    Ok(())
}

fn per_step(steps: usize, took: Duration) -> f64 {
    took.as_secs_f64() * 1e6 / f64::from(u32::try_from(steps).unwrap_or(u32::MAX))
}

fn wide(_steps: usize) -> Vec<Value> {
    Vec::new()
}

fn chain(steps: usize) -> Vec<Value> {
    (1..steps).map(|at| json!([at - 1, at, "builds_in"])).collect()
}

/// Layers of 100, each step after ten of the layer before.
fn layered(steps: usize) -> Vec<Value> {
    let below = |at: usize| (0..10).map(move |k| json!([at / 100 * 100 - 100 + (at + k * 7) % 100, at, "depends_on"]));
    (100..steps).flat_map(below).collect()
}

fn pipeline(steps: usize, edges: &[Value]) -> Outcome<Arc<Pipeline>> {
    let node = |at| json!({ "step": { "key": format!("step-{at}"), "cmd": "true" }, "env": {} });
    let nodes: Vec<Value> = (0..steps).map(node).collect();
    let graph = json!({ "nodes": nodes, "edge_property": "directed", "edges": edges });
    Ok(Arc::new(Pipeline::parse(
        json!({ "version": "0", "graph": graph }).to_string().as_bytes(),
    )?))
}

fn parallelism() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn state_alone(pipeline: &Arc<Pipeline>) -> Duration {
    let begun = Instant::now();
    let settings = BuildSettings {
        run_id: RunId(Uuid::new_v4()),
        pipeline: Arc::clone(pipeline),
        selection: Selection::all(pipeline.graph()),
        started_at: Timestamp::UNIX_EPOCH,
        accepted: None,
        parallelism: parallelism(),
        open_lookups: RunOptions::DEFAULT_OPEN_LOOKUPS,
        keep_going: false,
        timeout: None,
        default_runner: "empty".to_owned(),
        images: RootImages {
            default: "base".to_owned(),
            forced: None,
        },
    };
    let mut state = BuildState::new(settings, &|_| None);
    let (mut effects, mut inputs) = (Vec::new(), vec![Input::Begin]);
    while let Some(input) = inputs.pop() {
        state.apply(begun.elapsed(), input, &mut effects);
        for effect in effects.drain(..) {
            if let Effect::Start { step, .. } = effect {
                inputs.push(Input::Ended {
                    step,
                    end: AttemptEnd::Exited {
                        exit_code: 0,
                        cause: None,
                        snapshot: None,
                    },
                });
            }
        }
    }
    begun.elapsed()
}

fn in_memory() -> VmRunner {
    VmRunner::new(HmVm::new(HmVmSettings {
        backend: Arc::new(MemoryBackend::new()),
        cache: Arc::new(MemoryCache::default()),
        clock: Arc::new(SystemClock),
        default_network: Network::Host,
        platform: "linux/amd64".to_owned(),
    }))
}

/// From the request to the end of the build and of its last reader.
fn whole_build(pipeline: &Arc<Pipeline>, runners: RunnerRegistry) -> Outcome<Duration> {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree)?;
    let settings = StoreSettings {
        root: folder.path().join("store"),
        clock: Arc::new(SystemClock),
    };
    let store = Store::open(settings)?;
    let backend = LocalBackend::new(LocalSettings {
        name: "bench".to_owned(),
        store: store.clone(),
        runners,
        features: BTreeSet::new(),
        fixes: BTreeMap::new(),
        include_git: false,
        include_hm: false,
    });
    let runtime = tokio::runtime::Runtime::new()?;
    let begun = Instant::now();
    runtime.block_on(run_and_read(&backend, request(pipeline, &tree)))?;
    let took = begun.elapsed();
    drop(backend);
    store.close()?;
    Ok(took)
}

fn request(pipeline: &Arc<Pipeline>, tree: &Path) -> RunRequest {
    RunRequest {
        run_id: RunId(Uuid::new_v4()),
        pipeline: Arc::clone(pipeline),
        source_root: tree.to_path_buf(),
        slug: None,
        env: BTreeMap::new(),
        machine_env: BTreeMap::new(),
        options: RunOptions::new(parallelism(), "base"),
        branch: None,
        message: None,
        stop_starting: tokio_util::sync::CancellationToken::new(),
    }
}

async fn run_and_read(backend: &LocalBackend, request: RunRequest) -> Outcome<()> {
    let (mut events, mut control) = backend.start(request).await?.into_parts();
    let reader = async {
        let mut read = 0;
        while let Some(batch) = events.next_batch(1000).await? {
            read += batch.len();
        }
        Outcome::Ok(read)
    };
    let (read, outcome) = tokio::join!(reader, control.wait());
    let (read, outcome) = (read?, outcome?);
    if outcome.exit_code == 0 && read > 0 {
        Ok(())
    } else {
        Err("the build did not pass".into())
    }
}

/// A runner that does nothing.
#[derive(Debug)]
struct Empty;

#[async_trait]
impl StepRunner for Empty {
    fn name(&self) -> &'static str {
        "empty"
    }

    async fn execute(&self, context: &StepContext, _input: ExecutorInput) -> Result<StepResult, StepError> {
        let committed_snapshot = context.keep().snapshot.then(|| SnapshotRef(String::new()));
        Ok(StepResult {
            exit_code: 0,
            cause: None,
            committed_snapshot,
            artifacts: Vec::new(),
        })
    }

    async fn reap_snapshots(&self, _snapshots: Vec<SnapshotRef>) -> Result<(), StepError> {
        Ok(())
    }
}
