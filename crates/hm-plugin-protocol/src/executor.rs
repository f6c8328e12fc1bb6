//! What a step runner is given and what it answers.

use std::collections::BTreeMap;

use hm_pipeline_ir::Step;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::ids::{RunId, StepId};

/// Names the captured workspace of a build.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ArchiveId(pub Uuid);

/// Names a snapshot; only the backend that made it can read it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SnapshotRef(pub String);

/// A file that a step left to be kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRef {
    /// Where the file is kept.
    pub key: String,
    /// Media type.
    pub mime: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// What the cache said before the step was given to a runner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CacheDecision {
    /// An earlier result stands under `tag`.
    Hit {
        /// Cache key.
        tag: String,
    },
    /// None stands; a good result is to be kept under `tag`.
    MissBuildAs {
        /// Cache key.
        tag: String,
    },
    /// None stands and none is to be kept.
    MissNoCommit,
}

/// The same with braces at every variant: serde lets unknown fields of a tagged unit variant pass.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum StrictDecision {
    Hit { tag: String },
    MissBuildAs { tag: String },
    MissNoCommit {},
}

impl<'de> Deserialize<'de> for CacheDecision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictDecision::deserialize(deserializer).map(|decision| match decision {
            StrictDecision::Hit { tag } => Self::Hit { tag },
            StrictDecision::MissBuildAs { tag } => Self::MissBuildAs { tag },
            StrictDecision::MissNoCommit {} => Self::MissNoCommit,
        })
    }
}

/// Everything a runner needs to run one attempt of a step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutorInput {
    /// The step as the pipeline says it.
    pub step: Step,
    /// The captured workspace.
    pub workspace_archive_id: ArchiveId,
    /// The whole environment of the command.
    pub env: BTreeMap<String, String>,
    /// Working folder of the command inside the machine.
    pub workdir: String,
    /// The build.
    pub run_id: RunId,
    /// The step in the build.
    pub step_id: StepId,
    /// What the cache said.
    pub cache_lookup: CacheDecision,
    /// The snapshot to boot from; the step's image where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_snapshot: Option<SnapshotRef>,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    /// Of the command; 128 + n for an end by signal n.
    pub exit_code: i32,
    /// What is known of why the command failed beside its exit code, such as that it ran out of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The snapshot that was left, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_snapshot: Option<SnapshotRef>,
    /// Files that were kept.
    #[serde(default)]
    pub artifacts: Vec<ArtifactRef>,
}
