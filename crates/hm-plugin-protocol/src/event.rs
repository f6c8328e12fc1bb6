//! The events of a build (`--format json`: one object a line, tag `kind`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::executor::SnapshotRef;
use crate::ids::{RunId, StepId};
use crate::outcome::{BuildStatus, SkipReason, StepStatus};

/// Version of the event format, on `build_start`.
pub const SCHEMA_VERSION: &str = "1";

/// An event with its place in the build's order; numbers start at 0 and have no gaps.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Sequenced {
    /// Place in the order.
    pub seq: u64,
    /// The event.
    #[serde(flatten)]
    pub event: BuildEvent,
}

/// Which stream of the command a line came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
    /// A note of the engine about the step (not written by the command).
    Note,
}

/// Size of what is about to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanSummary {
    /// Number of steps.
    pub step_count: u32,
    /// Number of chains.
    pub chain_count: u32,
    /// Runner of steps that name none.
    pub default_runner: String,
}

/// The build as a server knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BuildRef {
    /// The build.
    pub run_id: RunId,
    /// Its number.
    pub number: u64,
    /// Organisation; absent for local builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Slug of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

/// How far an image is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PullState {
    /// It comes from its registry.
    Pulling,
    /// It was pulled before, and its layers are unpacked.
    Unpacking,
    /// Machines can boot from it.
    Ready,
    /// It can't be had.
    Failed,
    /// The build ended before.
    Canceled,
}

/// Something that happened in a build. Times are RFC 3339 in UTC.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BuildEvent {
    /// First of all events.
    BuildStart {
        /// [`SCHEMA_VERSION`].
        schema_version: String,
        /// The build.
        run_id: RunId,
        /// Size of what is about to run.
        plan: PlanSummary,
        /// When.
        started_at: String,
    },
    /// The build has a number.
    BuildAccepted {
        /// The build as the backend knows it.
        build: BuildRef,
        /// Where it can be watched; empty for local builds.
        watch_url: String,
    },
    /// The step is part of the build; one for each step, before its other events.
    StepQueued {
        /// The step.
        step_id: StepId,
        /// Its key.
        key: String,
        /// The chain's id.
        chain_idx: u32,
        /// Key of the step it boots from.
        parent_key: Option<String>,
        /// Label, or the command cut to 40 characters.
        display_name: String,
    },
    /// An image that steps boot from is got ready. Told when it begins, from time to time, and with a last state
    /// (`ready`, `failed`, `canceled`); not at all for an image that is ready.
    ImagePull {
        /// The image's name, in full.
        image: String,
        /// How far it is.
        state: PullState,
        /// Number of its layers.
        layers: u32,
        /// Those that are unpacked.
        layers_ready: u32,
        /// Bytes of its layers, as the registry stores them; 0 where none are asked for.
        bytes: u64,
        /// Bytes that came, those of an earlier try too. Layers that were there don't count.
        bytes_done: u64,
    },
    /// A runner has the step.
    StepStart {
        /// The step.
        step_id: StepId,
        /// The runner's name.
        runner: String,
        /// What a root step boots from.
        image: Option<String>,
    },
    /// One line of output.
    StepLog {
        /// The step.
        step_id: StepId,
        /// Where it came from.
        stream: Stream,
        /// Without its line end; invalid UTF-8 shown as U+FFFD.
        line: String,
        /// When it arrived.
        ts: String,
    },
    /// An earlier result is used; its log follows.
    StepCacheHit {
        /// The step.
        step_id: StepId,
        /// Its key.
        key: String,
        /// Cache key.
        tag: String,
    },
    /// Terminal event of a step that never started.
    StepSkipped {
        /// The step.
        step_id: StepId,
        /// Its key.
        key: String,
        /// Why.
        reason: SkipReason,
    },
    /// What a step used.
    StepUsage {
        /// The step.
        step_id: StepId,
        /// Processor time in milliseconds.
        cpu_ms: u64,
        /// The most memory in bytes: all of the step at once where it has limits and a control group counts, else the greatest
        /// resident set of one process.
        max_rss_bytes: u64,
        /// Bytes read from block devices.
        read_bytes: u64,
        /// Bytes written to block devices.
        write_bytes: u64,
    },
    /// Terminal event of every other step.
    StepEnd {
        /// The step.
        step_id: StepId,
        /// Of the command; 124 for a step over its budget, 125 where the engine could not run it.
        exit_code: i32,
        /// From `step_start`, or from the look-up for a cached step, in milliseconds.
        duration_ms: u64,
        /// The snapshot it left.
        snapshot: Option<SnapshotRef>,
        /// How it ended.
        status: StepStatus,
        /// Why the engine could not run it, outermost first, or what is known of why its command failed beside the exit
        /// code, such as "out of memory: …".
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        causes: Vec<String>,
        /// What helps where the engine could not run it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fixes: Vec<String>,
    },
    /// A step of a chain failed; the rest of the chain won't run.
    ChainFailed {
        /// The chain's id.
        chain_idx: u32,
        /// The step that failed.
        failed_step_id: StepId,
        /// Its key.
        failed_step_key: String,
        /// Its exit code, 1 where there was none.
        exit_code: i32,
        /// For people.
        message: String,
        /// When.
        ts: String,
    },
    /// Last of all events.
    BuildEnd {
        /// Of the process.
        exit_code: i32,
        /// Of the whole build in milliseconds.
        duration_ms: u64,
        /// The verdict.
        status: BuildStatus,
    },
}
