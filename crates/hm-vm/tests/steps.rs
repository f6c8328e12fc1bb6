//! Steps through the cache, in memory machines.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hm_pipeline_ir::Step;
use hm_plugin_protocol::{RunId, Stream};
use hm_store::workspace::CaptureRequest;
use hm_store::{Clock, Store, StoreSettings, SystemClock};
use hm_vm::{
    BootImage, CacheKey, HmVm, HmVmSettings, KeySpec, Lookup, MemoryBackend, MemoryCache, MemoryImage, Network,
    OutputSink, ParentState, Reservation, StepBase, StepSpec, StepState, StopToken, VmBackend, Workspace,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

#[derive(Debug)]
struct NoOutput;

impl OutputSink for NoOutput {
    fn write(&self, _stream: Stream, _bytes: &[u8]) {}
}

#[derive(Debug, Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

struct World {
    backend: MemoryBackend,
    cache: MemoryCache,
    clock: Arc<SetClock>,
    hmvm: HmVm,
    image: BootImage,
    env: BTreeMap<String, String>,
    machine_env: BTreeMap<String, String>,
    workspace: Option<Arc<Workspace>>,
}

/// What became of a step.
#[derive(Debug)]
struct Done {
    hit: bool,
    key: Option<CacheKey>,
    state: Option<ParentState>,
    exit: i32,
    notes: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let backend = MemoryBackend::new();
        let cache = MemoryCache::default();
        let clock = Arc::new(SetClock::default());
        let hmvm = HmVm::new(HmVmSettings {
            backend: Arc::new(backend.clone()),
            cache: Arc::new(cache.clone()),
            clock: Arc::clone(&clock) as _,
            default_network: Network::Host,
            platform: "linux/amd64".into(),
        });
        let image = backend.resolve_image("base").await.unwrap();
        let (env, machine_env) = (BTreeMap::new(), BTreeMap::new());
        Self {
            backend,
            cache,
            clock,
            hmvm,
            image,
            env,
            machine_env,
            workspace: None,
        }
    }

    fn spec<'a>(&'a self, step: &'a Step, parent: Option<&'a ParentState>) -> StepSpec<'a> {
        StepSpec {
            keyed: KeySpec {
                step,
                runner: "vm",
                env: &self.env,
                workdir: "/workspace",
                workspace: self.workspace.as_ref(),
                machine_env: &self.machine_env,
            },
            run_id: RunId(Uuid::nil()),
            base: parent.map_or(StepBase::Image(&self.image), StepBase::Parent),
            is_last_child: false,
            keep_snapshot: true,
            keep_failed: false,
            grace: Duration::from_secs(10),
        }
    }

    /// Looks the step up and runs it where that is a miss.
    async fn step(&self, step: &Step, parent: Option<&ParentState>) -> Done {
        let spec = self.spec(step, parent);
        let answer = self.hmvm.lookup(&spec, &StopToken::new()).await.unwrap();
        let notes = answer.notes;
        let reservation = match answer.lookup {
            Lookup::Hit(entry) => {
                let state = ParentState {
                    snapshot: entry.snapshot.unwrap(),
                    state: StepState::Key(entry.key),
                };
                return Done {
                    hit: true,
                    key: Some(entry.key),
                    state: Some(state),
                    exit: 0,
                    notes,
                };
            }
            Lookup::MissBuildAs(reservation) => Some(reservation),
            Lookup::MissNoCommit => None,
        };
        let key = reservation.as_ref().map(Reservation::key).copied();
        let running = self.hmvm.run(&spec, reservation, Arc::new(NoOutput), StopToken::new());
        let mut run = running.await.unwrap();
        if let Some(pending) = run.pending.take() {
            self.hmvm.commit(pending, None).unwrap();
        }
        Done {
            hit: false,
            key,
            state: run.parent_state(),
            exit: run.exit,
            notes,
        }
    }

    async fn hits(&self, step: &Step) -> bool {
        self.step(step, None).await.hit
    }
}

fn step(cmd: &str, cache: Option<Value>) -> Step {
    let mut written = json!({ "key": "k", "cmd": cmd });
    if let Some(cache) = cache {
        written["cache"] = cache;
    }
    serde_json::from_value(written).unwrap()
}

fn forever(cmd: &str) -> Step {
    step(cmd, Some(json!({ "policy": "forever" })))
}

#[tokio::test]
async fn what_counts_is_a_miss_and_what_does_not_is_a_hit() {
    let mut world = World::new().await;
    let first = forever("echo one > f");
    assert!(!world.hits(&first).await);
    assert!(world.hits(&first).await);

    let mut relabelled = first.clone();
    relabelled.label = Some("other".into());
    relabelled.timeout_seconds = 7.try_into().ok();
    assert!(world.hits(&relabelled).await);

    assert!(!world.hits(&forever("echo two > f")).await);
    world.env.insert("A".into(), "1".into());
    assert!(!world.hits(&first).await);
    world.env.insert("A".into(), "2".into());
    assert!(!world.hits(&first).await);
    world.env.clear();
    world
        .backend
        .add_image("base", MemoryImage::base().file("etc/new", "x", 0o644));
    world.image = world.backend.resolve_image("base").await.unwrap();
    assert!(!world.hits(&first).await);
}

#[tokio::test]
async fn variables_of_the_machine_count_where_the_policy_names_them() {
    let mut world = World::new().await;
    let named = step("true", Some(json!({ "policy": "forever", "env_keys": ["CC"] })));
    assert!(!world.hits(&named).await);
    world.machine_env.insert("OTHER".into(), "x".into());
    assert!(world.hits(&named).await);
    world.machine_env.insert("CC".into(), String::new());
    assert!(!world.hits(&named).await);
    world.machine_env.insert("CC".into(), "gcc".into());
    assert!(!world.hits(&named).await);
}

#[tokio::test]
async fn a_window_of_time_ends() {
    let world = World::new().await;
    let hourly = step("true", Some(json!({ "policy": "ttl", "duration_seconds": 3600 })));
    for (second, hit) in [(0, false), (3599, true), (3600, false), (7199, true), (0, true)] {
        world.clock.0.store(second, Ordering::Relaxed);
        assert_eq!(world.hits(&hourly).await, hit, "at {second}");
    }
}

#[tokio::test]
async fn some_policies_keep_nothing() {
    let world = World::new().await;
    let none = json!({ "policy": "none" });
    let composed = json!({ "policy": "compose", "sub_policies": [{ "policy": "forever" }, none] });
    for cache in [None, Some(none), Some(composed)] {
        let uncached = step("true", cache);
        world.step(&uncached, None).await;
        let again = world.step(&uncached, None).await;
        assert!(!again.hit && again.key.is_none());
    }
    assert!(world.cache.is_empty());
}

#[tokio::test]
async fn the_key_alone_decides_for_an_unknown_policy() {
    let world = World::new().await;
    let later = |key: &str| step("true", Some(json!({ "policy": "from-later", "key": key })));
    assert!(!world.hits(&later("a")).await);
    assert!(world.hits(&later("a")).await);
    assert!(!world.hits(&later("b")).await);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let world = World::new().await;
    let failing = forever("exit 3");
    let done = world.step(&failing, None).await;
    assert_eq!((done.exit, done.state.is_none()), (3, true));
    assert!(!world.hits(&failing).await);
    assert_eq!(world.backend.snapshot_count(), 0);
}

#[tokio::test]
async fn children_follow_their_parent_and_an_unchanged_uncached_parent_cuts_off() {
    let world = World::new().await;
    let child = forever("cat f > g");
    for (parent, hit) in [
        (forever("echo one > f"), false),
        (forever("echo one > f"), true),
        (forever("echo two > f"), false),
        (step("echo one > f", None), false),
        // Another way to the same files.
        (step("echo on > f; echo one > f; touch x; rm x", None), true),
        (step("echo else > f", None), false),
    ] {
        let left = world.step(&parent, None).await.state;
        assert_eq!(world.step(&child, left.as_ref()).await.hit, hit, "after {}", parent.cmd);
    }
}

#[tokio::test]
async fn on_change_sees_the_named_paths_only() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let settings = StoreSettings {
        root: folder.path().join("store"),
        clock: Arc::new(SystemClock),
    };
    let store = Store::open(settings).unwrap();
    let write = |name: &str, content: &str| std::fs::write(tree.join(name), content).unwrap();
    let capture = || Some(Arc::new(store.capture(&CaptureRequest::new(&tree)).unwrap()));
    write("input", "one");
    write("other", "one");
    let watching = step(
        "cat input > output",
        Some(json!({ "policy": "on_change", "paths": ["input", "none/*.c"] })),
    );

    world.workspace = capture();
    let done = world.step(&watching, None).await;
    assert!(!done.hit);
    assert_eq!(
        done.notes,
        ["cache policy on_change: \"none/*.c\" matches nothing in the workspace"]
    );
    write("other", "two");
    world.workspace = capture();
    assert!(world.hits(&watching).await);
    write("input", "two");
    world.workspace = capture();
    assert!(!world.hits(&watching).await);
    std::os::unix::fs::symlink("input", tree.join("link")).unwrap();
    world.workspace = capture();
    assert!(world.hits(&watching).await);
}

#[tokio::test]
async fn identical_steps_run_once() {
    let world = World::new().await;
    let slow = forever("sleep 0.01; echo ran >> log");
    let (one, two, three) = tokio::join!(world.hits(&slow), world.hits(&slow), world.hits(&slow));
    assert_eq!([one, two, three].into_iter().filter(|hit| *hit).count(), 2);
    assert_eq!(world.cache.len(), 1);
}

#[tokio::test]
async fn waiting_for_an_identical_step_can_be_stopped() {
    let world = World::new().await;
    let held = forever("true");
    let spec = world.spec(&held, None);
    let answer = world.hmvm.lookup(&spec, &StopToken::new()).await.unwrap();
    let Lookup::MissBuildAs(reservation) = answer.lookup else {
        panic!("nothing stands yet")
    };
    let stop = StopToken::new();
    let (waiting, ()) = tokio::join!(world.hmvm.lookup(&spec, &stop), async { stop.stop() });
    assert_eq!(
        waiting.unwrap_err().to_string(),
        "the step was told to stop before it ran"
    );
    drop(reservation);
    assert!(!world.hits(&held).await);
}

#[tokio::test]
async fn what_the_cache_refers_to_is_not_released() {
    let world = World::new().await;
    let cached = world.step(&forever("echo a > a"), None).await.state.unwrap();
    let other = world.step(&step("echo b > b", None), None).await.state.unwrap();
    world.hmvm.release(&cached.snapshot).await.unwrap();
    world.hmvm.release(&other.snapshot).await.unwrap();
    assert!(world.backend.exists(&cached.snapshot).await);
    assert!(!world.backend.exists(&other.snapshot).await);
    // An entry whose snapshot is gone is a miss, not an error.
    world.backend.release(&cached.snapshot).await.unwrap();
    assert!(!world.hits(&forever("echo a > a")).await);
}

#[tokio::test]
async fn a_stopped_step_leaves_nothing() {
    let world = World::new().await;
    let patient = forever("trap 'exit 0' TERM; sleep 100");
    let spec = world.spec(&patient, None);
    let stop = StopToken::new();
    let answer = world.hmvm.lookup(&spec, &stop).await.unwrap();
    let Lookup::MissBuildAs(reservation) = answer.lookup else {
        panic!("nothing stands yet")
    };
    let running = world
        .hmvm
        .run(&spec, Some(reservation), Arc::new(NoOutput), stop.clone());
    let (run, ()) = tokio::join!(running, async {
        tokio::task::yield_now().await;
        stop.stop();
    });
    let run = run.unwrap();
    assert!(run.stopped && run.snapshot.is_none() && run.pending.is_none());
    assert!(world.cache.is_empty());
}
