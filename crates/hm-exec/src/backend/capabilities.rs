//! What a backend offers.

use std::collections::{BTreeMap, BTreeSet};

use hm_pipeline_ir::{Cache, CachePolicy, NetworkMode, Step};

/// What a backend offers beyond running commands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// What pipelines may ask for.
    pub features: BTreeSet<Feature>,
    /// What would give features that are not among them, to be pasted.
    pub fixes: BTreeMap<Feature, String>,
    /// What callers may ask for.
    pub options: BTreeSet<RunOption>,
}

/// Something that a step can ask for and that not every backend offers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Feature {
    /// `retry`
    Retry,
    /// `outputs`
    Outputs,
    /// `secrets`
    Secrets,
    /// `services`
    Services,
    /// `resources`
    Resources,
    /// `network: isolated`
    IsolatedNetwork,
    /// `network: none`
    NoNetwork,
    /// `mounts`
    Mounts,
    /// `cache.policy: auto`
    AutoCache,
}

/// Something that a caller can ask for and that not every backend offers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RunOption {
    /// Another number of steps at a time than the backend's own.
    Parallelism,
    /// Going on after a failure.
    KeepGoing,
    /// Using no earlier results.
    NoCache,
    /// A budget other than the pipeline's.
    Timeout,
    /// Some steps only.
    StepSelection,
}

impl RunOption {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Parallelism,
        Self::KeepGoing,
        Self::NoCache,
        Self::Timeout,
        Self::StepSelection,
    ];
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Retry,
        Self::Outputs,
        Self::Secrets,
        Self::Services,
        Self::Resources,
        Self::IsolatedNetwork,
        Self::NoNetwork,
        Self::Mounts,
        Self::AutoCache,
    ];

    /// The member of a step that asks for it.
    pub fn field(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Outputs => "outputs",
            Self::Secrets => "secrets",
            Self::Services => "services",
            Self::Resources => "resources",
            Self::IsolatedNetwork | Self::NoNetwork => "network",
            Self::Mounts => "mounts",
            Self::AutoCache => "cache",
        }
    }

    /// Whether a step does the same work without it: then going without is worth a warning only.
    pub fn is_dispensable(self) -> bool {
        match self {
            Self::Retry | Self::Resources => true,
            Self::Outputs
            | Self::Secrets
            | Self::Services
            | Self::IsolatedNetwork
            | Self::NoNetwork
            | Self::Mounts
            | Self::AutoCache => false,
        }
    }

    /// Whether the step asks for it.
    pub fn is_asked_by(self, step: &Step) -> bool {
        match self {
            Self::Retry => step.retry.as_ref().is_some_and(|retry| retry.max > 0),
            Self::Outputs => !step.outputs.is_empty(),
            Self::Secrets => !step.secrets.is_empty(),
            Self::Services => !step.services.is_empty(),
            Self::Resources => step.resources.is_some(),
            Self::IsolatedNetwork => step.network == Some(NetworkMode::Isolated),
            Self::NoNetwork => step.network == Some(NetworkMode::None),
            Self::Mounts => !step.mounts.is_empty(),
            Self::AutoCache => step.cache.as_ref().is_some_and(asks_auto),
        }
    }

    /// What to change in a pipeline that can't have it.
    pub(super) fn fix(self) -> &'static str {
        match self {
            Self::Retry => "the step is tried once",
            Self::Outputs => "leave `outputs` out, or run it on a backend that keeps artifacts",
            Self::Secrets => "leave `secrets` out, or give the values with `-e NAME=VALUE` if they may show in logs",
            Self::Services => "leave `services` out and start what the step needs in its command",
            Self::Resources => "the step runs without limits",
            Self::IsolatedNetwork => "use `network: \"host\"` or `network: \"none\"`",
            Self::NoNetwork => "use `network: \"host\"`",
            Self::Mounts => "leave `mounts` out; the step works without what earlier builds downloaded",
            Self::AutoCache => "use the policy \"on_change\" with the paths that the step reads",
        }
    }
}

/// Nesting of `compose` is as deep as the document; the IR bounds that.
fn asks_auto(cache: &Cache) -> bool {
    match &cache.policy {
        CachePolicy::Auto => true,
        CachePolicy::Compose { sub_policies } => sub_policies.iter().any(asks_auto),
        CachePolicy::None
        | CachePolicy::Forever { .. }
        | CachePolicy::Ttl { .. }
        | CachePolicy::OnChange { .. }
        | CachePolicy::Opaque { .. } => false,
    }
}
