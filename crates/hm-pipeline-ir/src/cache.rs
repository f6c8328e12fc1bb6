//! Cache policies as the document writes them.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A cache policy with the key that the SDK resolved, if it did.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Cache {
    /// What decides whether an earlier result may be used.
    #[serde(flatten)]
    pub policy: CachePolicy,
    /// Resolved by the SDK; mixed into the engine's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What decides whether an earlier result may be used.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum CachePolicy {
    /// Never cached.
    None,
    /// Command and the named variables of the environment.
    Forever {
        /// Names of variables of the machine's environment that take part.
        #[serde(default)]
        env_keys: Vec<String>,
    },
    /// As `Forever`, and the epoch-aligned window of this many seconds.
    Ttl {
        /// Length of a window in seconds.
        duration_seconds: NonZeroU64,
        /// Names of variables of the machine's environment that take part.
        #[serde(default)]
        env_keys: Vec<String>,
    },
    /// Names, modes and contents of these paths of the workspace.
    OnChange {
        /// Paths and globs with the gitignore rules.
        paths: Vec<String>,
    },
    /// All of these.
    Compose {
        /// The parts.
        sub_policies: Vec<Cache>,
    },
    /// Inputs that the step was seen to read.
    Auto,
    /// A policy from a future SDK: the key alone decides.
    #[serde(skip)]
    Opaque {
        /// Its name as written.
        name: String,
    },
}

const KNOWN: [&str; 6] = ["none", "forever", "ttl", "on_change", "compose", "auto"];

impl<'de> Deserialize<'de> for Cache {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let name = value
            .get("policy")
            .and_then(Value::as_str)
            .ok_or_else(|| D::Error::missing_field("policy"))?;
        let key = match value.get("key") {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) => Some(key.clone()),
            Some(other) => return Err(D::Error::custom(format!("cache key must be a string, not {other}"))),
        };
        let policy = if KNOWN.contains(&name) {
            CachePolicy::deserialize(&value).map_err(D::Error::custom)?
        } else if key.is_some() {
            CachePolicy::Opaque { name: name.to_owned() }
        } else {
            return Err(D::Error::custom(format!("unknown cache policy {name:?} without a key")));
        };
        Ok(Self { policy, key })
    }
}
