//! What is asked about a step and what is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hm_pipeline_ir::Step;
use hm_plugin_protocol::{RunId, SnapshotRef};
use hm_store::workspace::Workspace;
use hm_store::{CacheEntry, CacheKey};
use serde_json::Value;

use super::cache::CacheGuard;
use crate::cache_key::PolicyMaterial;
use crate::machine::{BootImage, Usage};

/// What of a step its key depends on, beside what it boots from.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec<'a> {
    /// The step as the pipeline says it.
    pub step: &'a Step,
    /// Name of the runner that the step is given to.
    pub runner: &'a str,
    /// The whole environment of the command, below which are only the image's and the baseline.
    pub env: &'a BTreeMap<String, String>,
    /// Working folder of the command in the machine.
    pub workdir: &'a str,
    /// The captured workspace of the build.
    pub workspace: Option<&'a Arc<Workspace>>,
    /// The environment that `hm` runs in, for policies that name variables of it.
    pub machine_env: &'a BTreeMap<String, String>,
}

/// Everything about one step that its result may depend on, and what is to be left of it.
#[derive(Clone, Debug)]
pub struct StepSpec<'a> {
    /// What its key depends on.
    pub keyed: KeySpec<'a>,
    /// The build, for the record of who made a cache entry.
    pub run_id: RunId,
    /// What it boots from.
    pub base: StepBase<'a>,
    /// No other step boots from what this one boots from any more.
    pub is_last_child: bool,
    /// Keep the file system of a step that passed, although it isn't cached.
    pub keep_snapshot: bool,
    /// Keep the file system of a step that failed.
    pub keep_failed: bool,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// What a step boots from.
#[derive(Clone, Copy, Debug)]
pub enum StepBase<'a> {
    /// An image.
    Image(&'a BootImage),
    /// What another step left.
    Parent(&'a ParentState),
}

/// What a step left for those that boot from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParentState {
    /// Its file system.
    pub snapshot: SnapshotRef,
    /// What the keys of its children know it by.
    pub state: StepState,
}

/// What the keys of a step's children know it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepState {
    /// Its own key: it was cacheable and passed.
    Key(CacheKey),
    /// The content of its snapshot, hashed when a cacheable child asks.
    Content,
}

/// What a step's cache policy says.
#[derive(Clone, PartialEq, Debug)]
pub struct PolicyAnswer {
    /// What it adds to the key; `None` where it keeps no result.
    pub material: Option<PolicyMaterial>,
    /// For the step's log, such as a path of `on_change` that matches nothing.
    pub notes: Vec<String>,
}

/// What the cache says about a step.
#[derive(Debug)]
pub struct LookupAnswer {
    /// What to do.
    pub lookup: Lookup,
    /// For the step's log, such as a path of `on_change` that matches nothing.
    pub notes: Vec<String>,
}

/// What to do about a step.
#[derive(Debug)]
pub enum Lookup {
    /// An earlier result stands.
    Hit(Box<CacheEntry>),
    /// None stands: run it and keep a good result.
    MissBuildAs(Reservation),
    /// Run it; its policy keeps no result.
    MissNoCommit,
}

/// The right to make the entry of a key. While it is held, identical steps of this and other processes wait.
#[derive(Debug)]
pub struct Reservation {
    pub(super) key: CacheKey,
    pub(super) parts: Value,
    pub(super) guard: CacheGuard,
}

impl Reservation {
    /// The key.
    pub fn key(&self) -> &CacheKey {
        &self.key
    }
}

/// How a step ended.
#[derive(Debug)]
pub struct StepRun {
    /// Exit code; 128 + n for an end by signal n.
    pub exit: i32,
    /// It was told to stop before its end. Then nothing of it is kept.
    pub stopped: bool,
    /// The kernel killed a process of it because its memory limit was used up.
    pub out_of_memory: bool,
    /// The kernel refused it a process because its limit of them was reached.
    pub out_of_pids: bool,
    /// What it used.
    pub usage: Option<Usage>,
    /// How long the command took.
    pub duration: Duration,
    /// The file system it left, where it was to be kept.
    pub snapshot: Option<SnapshotRef>,
    /// What its children's keys know it by.
    pub state: StepState,
    /// The cache entry that is to be made: give it to [`super::HmVm::commit`] when the step's log is complete.
    pub pending: Option<PendingEntry>,
}

impl StepRun {
    /// What steps that boot from this one need, where its file system was kept.
    pub fn parent_state(&self) -> Option<ParentState> {
        self.snapshot.clone().map(|snapshot| ParentState {
            snapshot,
            state: self.state,
        })
    }
}

/// A good result that waits for the step's log.
#[derive(Debug)]
pub struct PendingEntry {
    pub(super) reservation: Reservation,
    pub(super) snapshot: SnapshotRef,
    pub(super) duration: Duration,
    pub(super) run_id: RunId,
    pub(super) step_key: String,
}

impl PendingEntry {
    /// The key it is to stand under.
    pub fn key(&self) -> &CacheKey {
        &self.reservation.key
    }
}
