//! A runner that does what the step's command says, in a language of a few words.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hm_plugin_protocol::{CacheDecision, ExecutorInput, RunId, SnapshotRef, StepResult, Stream};
use hm_vm::{StopToken, Usage};

use crate::runner::{BuildContext, Keepsake, Lookup, StepContext, StepError, StepRunner};

/// Words, separated by `;`: `print TEXT`, `exit N`, `sleep SECONDS` (stops when told to), `stubborn SECONDS` (doesn't),
/// `panic`, `break` (an engine error), `bare` (leaves no snapshot), `env NAME`. The name of a cached step's `env_keys`
/// says what its look-up does: `hit`, `miss`, `wait` (until told to stop), `panic`, `break`.
#[derive(Debug, Default)]
pub(super) struct ScriptedRunner {
    /// Snapshots that exist.
    pub(super) snapshots: Mutex<BTreeSet<SnapshotRef>>,
    /// Attempts and look-ups under way.
    pub(super) at_work: AtomicUsize,
    pub(super) most_at_work: AtomicUsize,
    /// Locks that look-ups gave out and that nobody dropped.
    pub(super) locks: std::sync::Arc<()>,
    pub(super) builds_ended: AtomicUsize,
    pub(super) preparing: AtomicUsize,
}

#[derive(Debug, thiserror::Error)]
#[error("can't start the machine")]
struct Broken(#[source] NoSpace);

#[derive(Debug, thiserror::Error)]
#[error("no space left on device")]
struct NoSpace;

struct AtWork<'a>(&'a AtomicUsize);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ScriptedRunner {
    fn enter(&self) -> AtWork<'_> {
        let now = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_work.fetch_max(now, Ordering::SeqCst);
        AtWork(&self.at_work)
    }

    fn leave_snapshot(&self, context: &StepContext) -> SnapshotRef {
        let snapshot = SnapshotRef(format!("of {}", context.step().key));
        self.snapshots
            .lock()
            .expect("no panic holds this")
            .insert(snapshot.clone());
        snapshot
    }
}

fn broken() -> StepError {
    StepError::engine(Broken(NoSpace))
}

#[async_trait]
impl StepRunner for ScriptedRunner {
    fn name(&self) -> &'static str {
        "scripted"
    }

    /// Takes for ever.
    async fn prepare(&self, _build: &BuildContext, images: &[&str], stop: &StopToken) -> Result<(), StepError> {
        let _at_work = AtWork(&self.preparing);
        self.preparing.fetch_add(1, Ordering::SeqCst);
        assert_eq!(images, ["host"], "each once");
        stop.stopped().await;
        Ok(())
    }

    async fn lookup(&self, context: &StepContext) -> Result<Lookup, StepError> {
        let _at_work = self.enter();
        let policy = context.step().cache.as_ref().map(|cache| &cache.policy);
        let Some(hm_pipeline_ir::CachePolicy::Forever { env_keys }) = policy else {
            return Err(broken());
        };
        context.note("looked up");
        let tag = format!("tag of {}", context.step().key);
        match env_keys[0].as_str() {
            "hit" => {
                let snapshot = context.keep().snapshot.then(|| self.leave_snapshot(context));
                let keepsake = snapshot.as_ref().map(|snapshot| Keepsake::new(snapshot.0.clone()));
                Ok(Lookup::Hit {
                    tag,
                    snapshot,
                    log: Some("earlier.log".into()),
                    keepsake,
                })
            }
            "bare hit" => Ok(Lookup::Hit {
                tag,
                snapshot: None,
                log: None,
                keepsake: None,
            }),
            "miss" => {
                let lock = std::sync::Arc::clone(&self.locks);
                Ok(Lookup::MissBuildAs {
                    tag,
                    held: Some(Keepsake::new(lock)),
                })
            }
            "wait" => {
                context.stop().stopped().await;
                Err(StepError::Stopped)
            }
            "panic" => panic!("the cache has gone mad"),
            _ => Err(broken()),
        }
    }

    async fn execute(&self, context: &StepContext, input: ExecutorInput) -> Result<StepResult, StepError> {
        let _at_work = self.enter();
        if let CacheDecision::MissBuildAs { .. } = input.cache_lookup {
            context
                .take_held::<std::sync::Arc<()>>()
                .expect("the look-up's lock is carried here");
        }
        if let Some(snapshot) = &input.parent_snapshot {
            assert!(
                self.snapshots.lock().expect("no panic holds this").contains(snapshot),
                "booted from a ghost"
            );
            assert_eq!(
                context.parent_keepsake::<String>().map(String::as_str),
                Some(snapshot.0.as_str())
            );
        }
        let (mut exit_code, mut bare) = (0, false);
        for word in input.step.cmd.split("; ") {
            match word.split_once(' ').unwrap_or((word, "")) {
                ("print", text) => context.output().write(Stream::Stdout, format!("{text}\n").as_bytes()),
                ("env", name) => context.note(&format!("{name}={:?}", input.env.get(name))),
                ("exit", code) => exit_code = code.parse().expect("a number"),
                ("sleep", seconds) => tokio::select! {
                    () = context.stop().stopped() => return Err(StepError::Stopped),
                    () = tokio::time::sleep(Duration::from_secs(seconds.parse().expect("a number"))) => {}
                },
                ("stubborn", seconds) => {
                    tokio::time::sleep(Duration::from_secs(seconds.parse().expect("a number"))).await;
                    if context.stop().is_stopped() {
                        return Err(StepError::Stopped);
                    }
                }
                ("panic", _) => panic!("the runner has gone mad"),
                ("bare", _) => bare = true,
                ("", _) => {}
                _ => return Err(broken()),
            }
        }
        context.report_usage(Usage {
            cpu: Duration::from_millis(7),
            ..Usage::default()
        });
        let keep = context.keep();
        let leave = if exit_code == 0 {
            keep.snapshot && !bare
        } else {
            keep.when_failed
        };
        let committed_snapshot = leave.then(|| self.leave_snapshot(context));
        if let Some(snapshot) = &committed_snapshot {
            context.remember(snapshot.0.clone());
        }
        Ok(StepResult {
            exit_code,
            cause: None,
            committed_snapshot,
            artifacts: Vec::new(),
        })
    }

    async fn reap_snapshots(&self, snapshots: Vec<SnapshotRef>) -> Result<(), StepError> {
        let mut known = self.snapshots.lock().expect("no panic holds this");
        for snapshot in snapshots {
            assert!(known.remove(&snapshot), "reaped twice: {snapshot:?}");
        }
        Ok(())
    }

    async fn end_build(&self, _run_id: RunId) -> Result<(), StepError> {
        self.builds_ended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
