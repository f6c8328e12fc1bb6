//! Looks steps up, runs them in machines and keeps their results.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hm_pipeline_ir::{NetworkMode, Step};
use hm_plugin_protocol::{SnapshotRef, Stream};
use hm_store::{CacheEntry, CacheError, CacheKey, Clock, NewCacheEntry};
use serde_json::Value;

use super::cache::StepCache;
use super::error::HmVmError;
use super::material::{Gathering, Selections};
use super::spec::{
    KeySpec, Lookup, LookupAnswer, PendingEntry, PolicyAnswer, Reservation, StepBase, StepRun, StepSpec, StepState,
};
use crate::cache_key::{BootsFrom, KeyInput, PolicyMaterial};
use crate::machine::{
    DEFAULT_WORKDIR, ExecOutcome, ExecRequest, Limits, MachineRequest, Network, OutputSink, StopToken, Vm, VmBackend,
};

/// What [`HmVm`] works with.
#[derive(Clone, Debug)]
pub struct HmVmSettings {
    /// Makes the machines.
    pub backend: Arc<dyn VmBackend>,
    /// Keeps the results; a [`hm_store::Store`] for machines whose snapshots are in it.
    pub cache: Arc<dyn StepCache>,
    /// Tells the window of `ttl` policies.
    pub clock: Arc<dyn Clock>,
    /// Network of steps that name none.
    pub default_network: Network,
    /// As in `linux/amd64`.
    pub platform: String,
}

/// Cache-aware execution of steps. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HmVm {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: HmVmSettings,
    selections: Selections,
    /// Snapshots that cache entries of this process refer to.
    cached: Mutex<HashSet<SnapshotRef>>,
}

impl HmVm {
    /// With these settings.
    pub fn new(settings: HmVmSettings) -> Self {
        let inner = Inner {
            settings,
            selections: Selections::default(),
            cached: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The backend that makes the machines.
    pub fn backend(&self) -> &Arc<dyn VmBackend> {
        &self.inner.settings.backend
    }

    /// Asks the cache about a step. Where no result stands, waits for an identical step that runs in this or another
    /// process, and uses what it leaves.
    pub async fn lookup(&self, spec: &StepSpec<'_>, stop: &StopToken) -> Result<LookupAnswer, HmVmError> {
        let (identity, notes) = self.identify(spec).await?;
        let Some((key, parts)) = identity else {
            return Ok(LookupAnswer {
                lookup: Lookup::MissNoCommit,
                notes,
            });
        };
        if let Some(entry) = self.find(&key).await? {
            return Ok(LookupAnswer {
                lookup: Lookup::Hit(Box::new(entry)),
                notes,
            });
        }
        let reservation = self.reserve(key, parts, stop).await?;
        let lookup = match self.find(&key).await? {
            Some(entry) => Lookup::Hit(Box::new(entry)),
            None => Lookup::MissBuildAs(reservation),
        };
        Ok(LookupAnswer { lookup, notes })
    }

    /// As [`HmVm::lookup`], but no earlier result is used: a good one takes its place.
    pub async fn renew(&self, spec: &StepSpec<'_>, stop: &StopToken) -> Result<LookupAnswer, HmVmError> {
        let (identity, notes) = self.identify(spec).await?;
        let lookup = match identity {
            Some((key, parts)) => Lookup::MissBuildAs(self.reserve(key, parts, stop).await?),
            None => Lookup::MissNoCommit,
        };
        Ok(LookupAnswer { lookup, notes })
    }

    /// What the step's cache policy says, whatever the step boots from.
    pub fn policy(&self, spec: &KeySpec<'_>) -> Result<PolicyAnswer, HmVmError> {
        let Some(cache) = &spec.step.cache else {
            return Ok(PolicyAnswer {
                material: None,
                notes: Vec::new(),
            });
        };
        let mut gathering = Gathering {
            selections: &self.inner.selections,
            workspace: spec.workspace.map(|workspace| &**workspace),
            machine_env: spec.machine_env,
            clock: &*self.inner.settings.clock,
            notes: Vec::new(),
        };
        let material = gathering.material(cache);
        Ok(PolicyAnswer {
            material: material.map_err(|source| HmVmError::Policy { source })?,
            notes: gathering.notes,
        })
    }

    /// What the key is made of under which [`HmVm::lookup`] asks the cache. Touches neither cache nor backend.
    pub fn key_input<'a>(
        &'a self,
        spec: KeySpec<'a>,
        boots_from: BootsFrom<'a>,
        policy: PolicyMaterial,
    ) -> KeyInput<'a> {
        KeyInput {
            boots_from,
            cmd: &spec.step.cmd,
            env: spec.env,
            workdir: spec.workdir,
            user: None,
            platform: &self.inner.settings.platform,
            runner: spec.runner,
            runner_args: spec.step.runner_args.as_ref(),
            network: Some(self.network_mode(spec.step)),
            policy,
            sdk_key: spec.step.cache.as_ref().and_then(|cache| cache.key.as_deref()),
        }
    }

    /// Runs a step. With a reservation, a good result comes back as [`StepRun::pending`].
    ///
    /// When it returns, in whatever way, nothing of the step is running and all its output was given to `sink`.
    pub async fn run(
        &self,
        spec: &StepSpec<'_>,
        reservation: Option<Reservation>,
        sink: Arc<dyn OutputSink>,
        stop: StopToken,
    ) -> Result<StepRun, HmVmError> {
        let mut machine = self.boot(spec).await?;
        note(&*sink, machine.take_notes());
        let result = self
            .run_in(&mut *machine, spec, reservation, Arc::clone(&sink), stop)
            .await;
        match (result, machine.close().await) {
            (Ok(run), Ok(())) => Ok(run),
            // The step's own end counts; what is left lies in the lease and goes with it.
            (Ok(run), Err(error)) => {
                note(
                    &*sink,
                    vec![format!("{error}; what is left goes with the end of the build")],
                );
                Ok(run)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Makes the cache entry of a good result. `log` is the step's complete log, where it has one.
    pub fn commit(&self, pending: PendingEntry, log: Option<&Path>) -> Result<(), HmVmError> {
        let PendingEntry {
            reservation,
            snapshot,
            duration,
            run_id,
            step_key,
        } = pending;
        let Reservation { key, parts, guard } = reservation;
        let entry = NewCacheEntry {
            key,
            snapshot: Some(snapshot.clone()),
            state: None,
            log,
            duration,
            run_id,
            step_key,
            parts,
        };
        let committed = self.inner.settings.cache.commit(&entry);
        committed.map_err(|source| cache_error(key, source))?;
        self.cached().insert(snapshot);
        drop(guard);
        Ok(())
    }

    /// Lets go of a snapshot that no further step boots from. One that a cache entry refers to stays.
    pub async fn release(&self, snapshot: &SnapshotRef) -> Result<(), HmVmError> {
        if self.cached().contains(snapshot) {
            return Ok(());
        }
        Ok(self.backend().release(snapshot).await?)
    }

    /// The key of the step with its parts, where its policy keeps results.
    async fn identify(&self, spec: &StepSpec<'_>) -> Result<(Option<(CacheKey, Value)>, Vec<String>), HmVmError> {
        let PolicyAnswer { material, notes } = self.policy(&spec.keyed)?;
        let Some(policy) = material else {
            return Ok((None, notes));
        };
        let content;
        let boots_from = match spec.base {
            StepBase::Image(image) => BootsFrom::Image(image.digest()),
            StepBase::Parent(parent) => match &parent.state {
                StepState::Key(key) => BootsFrom::ParentKey(key),
                StepState::Content => {
                    content = self.backend().content_hash(&parent.snapshot).await?;
                    BootsFrom::ParentContent(&content)
                }
            },
        };
        let input = self.key_input(spec.keyed, boots_from, policy);
        Ok((Some((input.key(), input.parts())), notes))
    }

    /// The entry, unless its snapshot is gone.
    async fn find(&self, key: &CacheKey) -> Result<Option<CacheEntry>, HmVmError> {
        let found = self.inner.settings.cache.lookup(key);
        let Some(entry) = found.map_err(|source| cache_error(*key, source))? else {
            return Ok(None);
        };
        let Some(snapshot) = &entry.snapshot else {
            return Ok(Some(entry));
        };
        if !self.backend().exists(snapshot).await {
            return Ok(None);
        }
        self.cached().insert(snapshot.clone());
        Ok(Some(entry))
    }

    async fn reserve(&self, key: CacheKey, parts: Value, stop: &StopToken) -> Result<Reservation, HmVmError> {
        let guard = tokio::select! {
            biased;
            () = stop.stopped() => return Err(HmVmError::Stopped),
            guard = self.inner.settings.cache.lock(&key) => guard,
        };
        let guard = guard.map_err(|source| cache_error(key, source))?;
        Ok(Reservation { key, parts, guard })
    }

    async fn boot(&self, spec: &StepSpec<'_>) -> Result<Box<dyn Vm>, HmVmError> {
        let request = MachineRequest {
            workspace: spec.keyed.workspace.cloned(),
            network: match self.network_mode(spec.keyed.step) {
                NetworkMode::Host => Network::Host,
                NetworkMode::Isolated => Network::Isolated,
                NetworkMode::None => Network::None,
            },
            limits: spec.keyed.step.resources.as_ref().map(Limits::from).unwrap_or_default(),
            last: match spec.base {
                StepBase::Image(_) => false,
                StepBase::Parent(parent) => spec.is_last_child && !self.cached().contains(&parent.snapshot),
            },
        };
        Ok(match spec.base {
            StepBase::Image(image) => self.backend().create(image, &request).await?,
            StepBase::Parent(parent) => self.backend().restore(&parent.snapshot, &request).await?,
        })
    }

    async fn run_in(
        &self,
        machine: &mut dyn Vm,
        spec: &StepSpec<'_>,
        reservation: Option<Reservation>,
        sink: Arc<dyn OutputSink>,
        stop: StopToken,
    ) -> Result<StepRun, HmVmError> {
        let begun = Instant::now();
        let ended = machine.exec(ExecRequest {
            cmd: spec.keyed.step.cmd.clone(),
            env: spec.keyed.env.clone(),
            // Nobody named another one: the image may.
            workdir: (spec.keyed.workdir != DEFAULT_WORKDIR).then(|| spec.keyed.workdir.to_owned()),
            stop,
            grace: spec.grace,
            sink,
        });
        let ExecOutcome {
            exit,
            stopped,
            out_of_memory,
            out_of_pids,
            usage,
        } = ended.await?;
        let duration = begun.elapsed();
        let mut run = StepRun {
            exit,
            stopped,
            out_of_memory,
            out_of_pids,
            usage,
            duration,
            snapshot: None,
            state: StepState::Content,
            pending: None,
        };
        let passed = exit == 0;
        let wanted = if passed {
            reservation.is_some() || spec.keep_snapshot
        } else {
            spec.keep_failed
        };
        if stopped || !wanted {
            return Ok(run);
        }
        let reservation = reservation.filter(|_| passed);
        let snapshot = match &reservation {
            Some(_) => machine.snapshot().await?,
            None => machine.hand_over().await?,
        };
        if let Some(reservation) = reservation {
            run.state = StepState::Key(reservation.key);
            run.pending = Some(PendingEntry {
                reservation,
                snapshot: snapshot.clone(),
                duration,
                run_id: spec.run_id,
                step_key: spec.keyed.step.key.as_str().to_owned(),
            });
        }
        run.snapshot = Some(snapshot);
        Ok(run)
    }

    fn network_mode(&self, step: &Step) -> NetworkMode {
        step.network.unwrap_or(match self.inner.settings.default_network {
            Network::Host => NetworkMode::Host,
            Network::Isolated => NetworkMode::Isolated,
            Network::None => NetworkMode::None,
        })
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, HashSet<SnapshotRef>> {
        self.inner.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cache_error(key: CacheKey, source: CacheError) -> HmVmError {
    HmVmError::Cache {
        key,
        source: Box::new(source),
    }
}

fn note(sink: &dyn OutputSink, notes: Vec<String>) {
    for note in notes {
        sink.write(Stream::Note, format!("{note}\n").as_bytes());
    }
}
