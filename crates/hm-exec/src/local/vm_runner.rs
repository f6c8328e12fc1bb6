//! Steps in machines.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::future::join_all;
use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{ExecutorInput, RunId, SnapshotRef, StepResult};
use hm_vm::{
    BootImage, BootsFrom, HmVm, HmVmError, KeySpec, Lookup as VmLookup, LookupAnswer, ParentState, PendingEntry,
    PolicyAnswer, Reservation, StepBase, StepRun, StepSpec, StepState, StopToken, VmError,
};

use super::images::Images;
use super::step_keys::{KnownKey, StepKeys};
use crate::runner::{BuildContext, Keepsake, Lookup, StepContext, StepError, StepRunner, WORKDIR, causes};

/// Runs each step in a machine of its own, and uses the cache.
///
/// What it knows of a step's state travels as a [`ParentState`], what its look-up holds as a [`Reservation`].
#[derive(Debug)]
pub struct VmRunner {
    name: String,
    hmvm: HmVm,
    images: Images,
}

impl VmRunner {
    /// The name of the runner that steps have unless they name another.
    pub const DEFAULT_NAME: &'static str = "vm";

    /// Under [`VmRunner::DEFAULT_NAME`].
    pub fn new(hmvm: HmVm) -> Self {
        Self::named(Self::DEFAULT_NAME, hmvm)
    }

    /// Under another name.
    pub fn named(name: impl Into<String>, hmvm: HmVm) -> Self {
        Self {
            name: name.into(),
            hmvm,
            images: Images::default(),
        }
    }

    async fn boot(&self, context: &StepContext) -> Result<Boot, StepError> {
        if let Some(image) = context.image() {
            let found = self.images.get(&**self.hmvm.backend(), context.build().run_id, image);
            return unless_stopped(context.stop(), found).await.map(Boot::Image);
        }
        let parent = context.parent_keepsake::<ParentState>().cloned();
        parent.map(Boot::Parent).ok_or_else(|| StepError::engine(NoParentState))
    }

    fn spec<'a>(&'a self, context: &'a StepContext, boot: &'a Boot, env: &'a BTreeMap<String, String>) -> StepSpec<'a> {
        let build = context.build();
        StepSpec {
            keyed: self.keyed(build, context.at(), env),
            run_id: build.run_id,
            base: boot.base(),
            is_last_child: context.is_last_child(),
            keep_snapshot: context.keep().snapshot,
            keep_failed: context.keep().when_failed,
            grace: build.grace,
        }
    }

    /// What the step's key depends on, with `env` as [`BuildContext::env`] gives it.
    fn keyed<'a>(&'a self, build: &'a BuildContext, at: StepIndex, env: &'a BTreeMap<String, String>) -> KeySpec<'a> {
        KeySpec {
            step: build.pipeline.graph().step(at),
            runner: &self.name,
            env,
            workdir: WORKDIR,
            workspace: build.workspace.as_ref(),
            machine_env: &build.machine_env,
        }
    }

    /// The keys under which a build would look its steps up, as far as they are known before any has run. Images are
    /// got ready where a key depends on them; nothing is executed and the cache isn't asked.
    pub async fn step_keys(&self, build: &BuildContext) -> Result<StepKeys, StepError> {
        let graph = build.pipeline.graph();
        let mut keys = StepKeys::unfilled(graph);
        for &at in graph.topological() {
            let env = build.env(at);
            let spec = self.keyed(build, at, &env);
            let PolicyAnswer { material, notes } = self.hmvm.policy(&spec).map_err(step_error)?;
            keys.notes.extend(notes.into_iter().map(|note| (at, note)));
            let Some(policy) = material else { continue };
            let known = match graph.parent(at).map(|parent| (parent, keys.of(parent))) {
                Some((parent, KnownKey::Uncached)) => KnownKey::After(parent),
                Some((_, KnownKey::After(ancestor))) => KnownKey::After(ancestor),
                Some((_, KnownKey::Known(key))) => {
                    let boots_from = BootsFrom::ParentKey(&key);
                    KnownKey::Known(self.hmvm.key_input(spec, boots_from, policy).key())
                }
                None => {
                    let backend = &**self.hmvm.backend();
                    let image = self.images.get(backend, build.run_id, build.root_image(at)).await;
                    let image = image.map_err(StepError::engine)?;
                    let boots_from = BootsFrom::Image(image.digest());
                    KnownKey::Known(self.hmvm.key_input(spec, boots_from, policy).key())
                }
            };
            keys.set(at, known);
        }
        self.images.forget(build.run_id);
        Ok(keys)
    }

    /// Makes the cache entry. Where that fails the step has passed all the same: it says so in its log, and is run
    /// again by the next build.
    async fn commit(&self, context: &StepContext, pending: PendingEntry) -> StepState {
        let (hmvm, log, key) = (self.hmvm.clone(), context.finish_log(), *pending.key());
        let committed = tokio::task::spawn_blocking(move || hmvm.commit(pending, log.as_deref())).await;
        let problem = match committed {
            Ok(Ok(())) => return StepState::Key(key),
            Ok(Err(error)) => causes(&error),
            Err(died) => causes(&died),
        };
        context.note(&format!("the result can't be cached: {}", problem.join(": ")));
        StepState::Content
    }
}

#[async_trait]
impl StepRunner for VmRunner {
    fn name(&self) -> &str {
        &self.name
    }

    async fn prepare(&self, build: &BuildContext, images: &[&str], stop: &StopToken) -> Result<(), StepError> {
        let backend = &**self.hmvm.backend();
        let all = join_all(images.iter().map(|image| self.images.get(backend, build.run_id, image)));
        tokio::select! {
            // What can't be had is an error of the steps that need it.
            _ = all => {}
            () = stop.stopped() => {}
        }
        Ok(())
    }

    async fn lookup(&self, context: &StepContext) -> Result<Lookup, StepError> {
        let boot = self.boot(context).await?;
        let env = context.env();
        let spec = self.spec(context, &boot, &env);
        let answer = if context.build().no_cache {
            self.hmvm.renew(&spec, context.stop()).await
        } else {
            self.hmvm.lookup(&spec, context.stop()).await
        };
        let LookupAnswer { lookup, notes } = answer.map_err(step_error)?;
        for note in notes {
            context.note(&note);
        }
        Ok(match lookup {
            VmLookup::Hit(entry) => {
                let state = StepState::Key(entry.key);
                let parent = entry.snapshot.clone().map(|snapshot| ParentState { snapshot, state });
                let keepsake = parent.map(Keepsake::new);
                Lookup::Hit {
                    tag: entry.key.to_string(),
                    snapshot: entry.snapshot,
                    log: entry.log,
                    keepsake,
                }
            }
            VmLookup::MissBuildAs(reservation) => {
                let tag = reservation.key().to_string();
                Lookup::MissBuildAs {
                    tag,
                    held: Some(Keepsake::new(reservation)),
                }
            }
            VmLookup::MissNoCommit => Lookup::MissNoCommit,
        })
    }

    async fn execute(&self, context: &StepContext, input: ExecutorInput) -> Result<StepResult, StepError> {
        let boot = self.boot(context).await?;
        if context.stop().is_stopped() {
            return Err(StepError::Stopped);
        }
        let spec = self.spec(context, &boot, &input.env);
        let reservation = context.take_held::<Reservation>();
        let run = self
            .hmvm
            .run(&spec, reservation, context.output(), context.stop().clone())
            .await;
        let StepRun {
            exit,
            stopped,
            out_of_memory,
            out_of_pids,
            usage,
            duration: _,
            snapshot,
            mut state,
            pending,
        } = run.map_err(step_error)?;
        if let Some(usage) = usage {
            context.report_usage(usage);
        }
        if stopped {
            return Err(StepError::Stopped);
        }
        if let Some(pending) = pending {
            state = self.commit(context, pending).await;
        }
        if let Some(snapshot) = snapshot.clone() {
            context.remember(ParentState { snapshot, state });
        }
        let cause = limits_text(context, out_of_memory, out_of_pids);
        if let Some(cause) = cause.as_deref().filter(|_| exit == 0) {
            // The command coped with it: whoever reads the log should know all the same.
            context.note(cause);
        }
        Ok(StepResult {
            exit_code: exit,
            cause: cause.filter(|_| exit != 0),
            committed_snapshot: snapshot,
            artifacts: Vec::new(),
        })
    }

    async fn reap_snapshots(&self, snapshots: Vec<SnapshotRef>) -> Result<(), StepError> {
        let mut first = Ok(());
        for snapshot in &snapshots {
            let released = self.hmvm.release(snapshot).await.map_err(StepError::engine);
            first = first.and(released);
        }
        first
    }

    async fn end_build(&self, run_id: RunId) -> Result<(), StepError> {
        self.images.forget(run_id);
        Ok(())
    }
}

/// What a step boots from.
enum Boot {
    Image(BootImage),
    Parent(ParentState),
}

impl Boot {
    fn base(&self) -> StepBase<'_> {
        match self {
            Self::Image(image) => StepBase::Image(image),
            Self::Parent(parent) => StepBase::Parent(parent),
        }
    }
}

/// Which limits a step ran into.
fn limits_text(context: &StepContext, out_of_memory: bool, out_of_pids: bool) -> Option<String> {
    let memory = out_of_memory.then(|| out_of_memory_text(context));
    let pids = out_of_pids.then(|| out_of_pids_text(context));
    let told: Vec<String> = memory.into_iter().chain(pids).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn out_of_pids_text(context: &StepContext) -> String {
    let limit = context.step().resources.as_ref().and_then(|limits| limits.pids);
    let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} (`resources.pids`)"));
    format!("too many processes: the kernel refused one at the step's limit{limit}; raise it, or run fewer at once")
}

fn out_of_memory_text(context: &StepContext) -> String {
    let limit = context.step().resources.as_ref().and_then(|limits| limits.memory_mib);
    let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} MiB (`resources.memory_mib`)"));
    format!("out of memory: the kernel killed a process at the step's limit{limit}")
}

#[derive(Debug, thiserror::Error)]
#[error("the step it boots from was not run in a machine")]
struct NoParentState;

async fn unless_stopped<T>(stop: &StopToken, work: impl Future<Output = Result<T, VmError>>) -> Result<T, StepError> {
    tokio::select! {
        biased;
        () = stop.stopped() => Err(StepError::Stopped),
        result = work => result.map_err(StepError::engine),
    }
}

fn step_error(error: HmVmError) -> StepError {
    match error {
        HmVmError::Stopped => StepError::Stopped,
        HmVmError::Vm(_) | HmVmError::Cache { .. } | HmVmError::Policy { .. } => StepError::engine(error),
    }
}
