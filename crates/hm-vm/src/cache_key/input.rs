//! What takes part in the key of a step.

use std::collections::BTreeMap;

use hm_pipeline_ir::NetworkMode;
use serde_json::Value;

use super::{encode, parts};
use hm_store::{CacheKey, ContentHash, ImageDigest};

/// Everything that decides whether an earlier result may be used.
///
/// Timeouts, labels, resources and the values of secrets take no part, and neither does the workspace as a whole: its
/// files take part where the policy names them.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyInput<'a> {
    /// What the machine holds before the command runs.
    pub boots_from: BootsFrom<'a>,
    /// The command.
    pub cmd: &'a str,
    /// The step's whole environment; the image's own is part of the image's digest.
    pub env: &'a BTreeMap<String, String>,
    /// Working folder in the machine.
    pub workdir: &'a str,
    /// User of the command, where it isn't the image's.
    pub user: Option<&'a str>,
    /// As in `linux/amd64`.
    pub platform: &'a str,
    /// Name of the runner.
    pub runner: &'a str,
    /// Options for the runner. Members of objects count in any order.
    pub runner_args: Option<&'a Value>,
    /// Network the step asks for.
    pub network: Option<NetworkMode>,
    /// What the cache policy adds.
    pub policy: PolicyMaterial,
    /// The key that the SDK resolved.
    pub sdk_key: Option<&'a str>,
}

/// What a step boots from.
#[derive(Clone, PartialEq, Debug)]
pub enum BootsFrom<'a> {
    /// An image.
    Image(&'a ImageDigest),
    /// The result of a cacheable step, known by that step's key.
    ParentKey(&'a CacheKey),
    /// The files that another step left.
    ParentContent(&'a ContentHash),
}

/// A variable of the machine's environment that a policy names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EnvKey {
    /// Its name.
    pub name: String,
    /// Its value; absent where it isn't set, which is something else than empty.
    pub value: Option<String>,
}

/// What a cache policy adds to the key.
#[derive(Clone, PartialEq, Debug)]
pub enum PolicyMaterial {
    /// The named variables.
    Forever {
        /// Sorted by name, each once.
        env: Vec<EnvKey>,
    },
    /// The named variables and the time window.
    Ttl {
        /// Length of a window in seconds.
        seconds: u64,
        /// Whole windows since 1970-01-01T00:00:00Z.
        window: i64,
        /// Sorted by name, each once.
        env: Vec<EnvKey>,
    },
    /// Named files of the workspace.
    OnChange {
        /// Over their names, modes and contents.
        hash: String,
    },
    /// All of these.
    Compose {
        /// Each with the key that the SDK resolved for it.
        parts: Vec<(PolicyMaterial, Option<String>)>,
    },
    /// A policy that only the SDK that wrote it understands.
    Opaque {
        /// Its name.
        name: String,
    },
}

impl KeyInput<'_> {
    /// The key: BLAKE3 over the encoding that `docs/design/cache-key.md` writes down.
    pub fn key(&self) -> CacheKey {
        CacheKey::from(blake3::hash(&encode::encode(self)))
    }

    /// What went into the key, for people who ask why it changed. Values of variables appear as hashes only.
    pub fn parts(&self) -> Value {
        parts::parts(self)
    }
}
