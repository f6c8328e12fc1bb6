//! What one step of a pipeline says.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::Cache;

/// The identity of a step in logs, cache and edges: non-empty, unique in its document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StepKey(String);

impl StepKey {
    /// Takes a key as it stands; [`crate::Pipeline::parse`] is what refuses empty and repeated ones.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One shell command with what it needs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Identity in logs, cache and edges.
    pub key: StepKey,
    /// Shown to people; the command is shown where there is none.
    #[serde(default)]
    pub label: Option<String>,
    /// Run as `sh -c CMD`.
    pub cmd: String,
    /// Where a root step boots from.
    #[serde(default)]
    pub image: Option<String>,
    /// Merged over the node's `env`.
    #[serde(default)]
    pub env: Option<BTreeMap<String, String>>,
    /// Wall-clock budget of one attempt, in seconds.
    #[serde(default)]
    pub timeout_seconds: Option<NonZeroU32>,
    /// Whether and how the result is cached.
    #[serde(default)]
    pub cache: Option<Cache>,
    /// Name of the runner; absent means the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// Options for that runner, validated by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_args: Option<Value>,
    /// The step runs although a prerequisite failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continue_on_failure: bool,
    /// A failure is shown but fails neither the build nor the dependents.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_failure: bool,
    /// Further attempts after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Globs under the working folder whose files are kept as artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Values that never reach cache keys, snapshots, events or logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Side containers with readiness.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Which network the step sees; the runner's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// Cache mounts shared between builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
}

impl Step {
    /// A step that says nothing but what it must.
    pub fn new(key: StepKey, cmd: impl Into<String>) -> Self {
        Self {
            key,
            label: None,
            cmd: cmd.into(),
            image: None,
            env: None,
            timeout_seconds: None,
            cache: None,
            runner: None,
            runner_args: None,
            continue_on_failure: false,
            allow_failure: false,
            retry: None,
            outputs: Vec::new(),
            secrets: Vec::new(),
            services: Vec::new(),
            resources: None,
            network: None,
            mounts: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls it with")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// When and how often a failed step is tried again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Retry {
    /// Attempts after the first.
    pub max: u32,
    /// Which ends are tried again; all where empty.
    #[serde(default)]
    pub on: Vec<RetryOn>,
}

/// An end of an attempt that may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// The command exited other than 0.
    Exit,
    /// The step's budget ran out.
    Timeout,
    /// The engine could not run it.
    Infra,
}

/// A secret by name, and where the step finds its value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// Name in the secret store.
    pub name: String,
    /// Variable that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// File that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A side container; its members are read by the runner that offers services.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Service(pub Value);

/// Limits of a step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Processors, possibly a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
}

/// Which network a step sees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The machine's own.
    Host,
    /// One of its own with a way out.
    Isolated,
    /// One of its own with loopback only.
    None,
}

/// A folder shared between builds, locked by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Mount {
    /// Only `cache` is known.
    pub kind: String,
    /// Identity of the folder.
    pub name: String,
    /// Where the step sees it.
    pub path: String,
}
