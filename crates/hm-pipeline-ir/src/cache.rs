//! Cache policies as the document writes them.

use std::borrow::Cow;
use std::num::NonZeroU64;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A cache policy with the key that the SDK resolved, if it did.
#[derive(Clone, PartialEq, Debug)]
pub struct Cache {
    /// What decides whether an earlier result may be used.
    pub policy: CachePolicy,
    /// Resolved by the SDK; mixed into the engine's own key.
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

impl CachePolicy {
    /// The name that the document writes.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Forever { .. } => "forever",
            Self::Ttl { .. } => "ttl",
            Self::OnChange { .. } => "on_change",
            Self::Compose { .. } => "compose",
            Self::Auto => "auto",
            Self::Opaque { name } => name,
        }
    }
}

pub(crate) const KNOWN_POLICIES: [&str; 6] = ["none", "forever", "ttl", "on_change", "compose", "auto"];

/// A policy that is known.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Cache", inline)]
struct KnownCache<'a> {
    #[serde(flatten)]
    policy: &'a CachePolicy,
    /// Resolved by the SDK; mixed into the engine's own key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    key: Option<&'a str>,
}

/// A policy from a future SDK.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct OpaqueCache<'a> {
    /// A name that this version does not know.
    #[schemars(extend("not" = { "enum": KNOWN_POLICIES }))]
    policy: &'a str,
    /// The key alone decides.
    key: &'a str,
}

impl Serialize for Cache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = self.key.as_deref();
        if let CachePolicy::Opaque { name } = &self.policy {
            return OpaqueCache {
                policy: name,
                key: key.unwrap_or_default(),
            }
            .serialize(serializer);
        }
        KnownCache {
            policy: &self.policy,
            key,
        }
        .serialize(serializer)
    }
}

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
        let policy = if KNOWN_POLICIES.contains(&name) {
            CachePolicy::deserialize(&value).map_err(D::Error::custom)?
        } else if key.is_some() {
            CachePolicy::Opaque { name: name.to_owned() }
        } else {
            return Err(D::Error::custom(format!("unknown cache policy {name:?} without a key")));
        };
        Ok(Self { policy, key })
    }
}

impl JsonSchema for Cache {
    fn schema_name() -> Cow<'static, str> {
        "Cache".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let known = generator.subschema_for::<KnownCache<'_>>();
        let opaque = generator.subschema_for::<OpaqueCache<'_>>();
        schemars::json_schema!({
            "description": "A cache policy with the key that the SDK resolved, if it did.",
            "anyOf": [known, opaque],
        })
    }
}
