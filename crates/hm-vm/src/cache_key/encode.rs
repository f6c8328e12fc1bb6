//! The byte string that a key is the hash of. No two different inputs have the same one: every value has its length
//! before it, every list its count, every alternative its number, and the order of the fields is fixed.
//!
//! A change of this file's output needs another [`VERSION`]; the golden vectors below hold it.

use std::collections::BTreeMap;

use hm_pipeline_ir::NetworkMode;
use serde_json::Value;

use super::input::{BootsFrom, EnvKey, KeyInput, PolicyMaterial};

/// First bytes of every encoding.
const VERSION: &[u8] = b"hm step key 1\n";

/// The encoding of an input.
pub(super) fn encode(input: &KeyInput<'_>) -> Vec<u8> {
    let KeyInput {
        boots_from,
        cmd,
        env,
        workdir,
        user,
        platform,
        runner,
        runner_args,
        network,
        policy,
        sdk_key,
    } = input;
    let mut out = Encoder::new();
    out.boots_from(boots_from);
    out.text(cmd);
    out.env(env);
    out.text(workdir);
    out.option(*user, Encoder::text);
    out.text(platform);
    out.text(runner);
    out.option(*runner_args, Encoder::json);
    out.option(*network, Encoder::network);
    out.policy(policy);
    out.option(*sdk_key, Encoder::text);
    out.bytes
}

struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(VERSION);
        Self { bytes }
    }

    /// The number of an alternative.
    fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    fn count(&mut self, count: usize) {
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }

    fn raw(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    fn text(&mut self, value: &str) {
        self.raw(value.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, each: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.tag(0),
            Some(value) => {
                self.tag(1);
                each(self, value);
            }
        }
    }

    fn boots_from(&mut self, boots_from: &BootsFrom<'_>) {
        match boots_from {
            BootsFrom::Image(digest) => {
                self.tag(0);
                self.text(&digest.to_string());
            }
            BootsFrom::ParentKey(key) => {
                self.tag(1);
                self.text(&key.to_string());
            }
            BootsFrom::ParentContent(hash) => {
                self.tag(2);
                self.text(&hash.to_string());
            }
        }
    }

    fn env(&mut self, env: &BTreeMap<String, String>) {
        self.count(env.len());
        for (name, value) in env {
            self.text(name);
            self.text(value);
        }
    }

    fn network(&mut self, network: NetworkMode) {
        self.tag(match network {
            NetworkMode::Host => 0,
            NetworkMode::Isolated => 1,
            NetworkMode::None => 2,
        });
    }

    fn policy(&mut self, policy: &PolicyMaterial) {
        match policy {
            PolicyMaterial::Forever { env } => {
                self.tag(0);
                self.env_keys(env);
            }
            PolicyMaterial::Ttl { seconds, window, env } => {
                self.tag(1);
                self.bytes.extend_from_slice(&seconds.to_le_bytes());
                self.bytes.extend_from_slice(&window.to_le_bytes());
                self.env_keys(env);
            }
            PolicyMaterial::OnChange { hash } => {
                self.tag(2);
                self.text(hash);
            }
            PolicyMaterial::Compose { parts } => {
                self.tag(3);
                self.count(parts.len());
                for (part, key) in parts {
                    self.policy(part);
                    self.option(key.as_deref(), Self::text);
                }
            }
            PolicyMaterial::Opaque { name } => {
                self.tag(4);
                self.text(name);
            }
        }
    }

    fn env_keys(&mut self, env: &[EnvKey]) {
        self.count(env.len());
        for EnvKey { name, value } in env {
            self.text(name);
            self.option(value.as_deref(), Self::text);
        }
    }

    /// Members of objects in the order of their names, numbers as they are written.
    fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.tag(0),
            Value::Bool(false) => self.tag(1),
            Value::Bool(true) => self.tag(2),
            Value::Number(number) => {
                self.tag(3);
                self.text(&number.to_string());
            }
            Value::String(text) => {
                self.tag(4);
                self.text(text);
            }
            Value::Array(items) => {
                self.tag(5);
                self.count(items.len());
                for item in items {
                    self.json(item);
                }
            }
            Value::Object(members) => {
                self.tag(6);
                self.count(members.len());
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by_key(|(name, _)| *name);
                for (name, member) in sorted {
                    self.text(name);
                    self.json(member);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use hm_store::{CacheKey, ContentHash, DigestAlgorithm, ImageDigest};

    /// Strings that run into each other when lengths are left out.
    fn word() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["", "a", "b", "ab", "ba", "aab", "\0", "\u{1}"]).prop_map(str::to_owned)
    }

    fn env_keys() -> impl Strategy<Value = Vec<EnvKey>> {
        prop::collection::btree_map(word(), prop::option::of(word()), 0..3)
            .prop_map(|map| map.into_iter().map(|(name, value)| EnvKey { name, value }).collect())
    }

    fn policy() -> impl Strategy<Value = PolicyMaterial> {
        let leaf = prop_oneof![
            env_keys().prop_map(|env| PolicyMaterial::Forever { env }),
            (0..3u64, -1..2i64, env_keys()).prop_map(|(seconds, window, env)| PolicyMaterial::Ttl {
                seconds,
                window,
                env
            }),
            word().prop_map(|hash| PolicyMaterial::OnChange { hash }),
            word().prop_map(|name| PolicyMaterial::Opaque { name }),
        ];
        leaf.prop_recursive(3, 8, 3, |inner| {
            prop::collection::vec((inner, prop::option::of(word())), 0..3)
                .prop_map(|parts| PolicyMaterial::Compose { parts })
        })
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-1..2i64).prop_map(Value::from),
            word().prop_map(Value::String),
        ];
        leaf.prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map(word(), inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// A [`KeyInput`] that owns what it says.
    #[derive(Clone, PartialEq, Debug)]
    struct Owned {
        boots_from: (u8, String),
        texts: [String; 4],
        env: BTreeMap<String, String>,
        user: Option<String>,
        args: Option<Value>,
        network: Option<NetworkMode>,
        policy: PolicyMaterial,
        sdk_key: Option<String>,
    }

    impl Owned {
        fn encoded(&self) -> Vec<u8> {
            let (kind, name) = &self.boots_from;
            let digest = ImageDigest::new(DigestAlgorithm::Sha256, blake3::hash(name.as_bytes()).into());
            let hash = ContentHash::from(blake3::hash(name.as_bytes()));
            let key = CacheKey::from(blake3::hash(name.as_bytes()));
            let boots_from = match kind {
                0 => BootsFrom::Image(&digest),
                1 => BootsFrom::ParentKey(&key),
                _ => BootsFrom::ParentContent(&hash),
            };
            encode(&KeyInput {
                boots_from,
                cmd: &self.texts[0],
                env: &self.env,
                workdir: &self.texts[1],
                user: self.user.as_deref(),
                platform: &self.texts[2],
                runner: &self.texts[3],
                runner_args: self.args.as_ref(),
                network: self.network,
                policy: self.policy.clone(),
                sdk_key: self.sdk_key.as_deref(),
            })
        }
    }

    fn input() -> impl Strategy<Value = Owned> {
        let network = prop::sample::select(vec![NetworkMode::Host, NetworkMode::Isolated, NetworkMode::None]);
        (
            (0..3u8, word()),
            [word(), word(), word(), word()],
            prop::collection::btree_map(word(), word(), 0..3),
            prop::option::of(word()),
            prop::option::of(json()),
            prop::option::of(network),
            policy(),
            prop::option::of(word()),
        )
            .prop_map(|(boots_from, texts, env, user, args, network, policy, sdk_key)| Owned {
                boots_from,
                texts,
                env,
                user,
                args,
                network,
                policy,
                sdk_key,
            })
    }

    proptest! {
        /// One field is replaced by another drawn from the same few values, so that near misses are what is tried.
        #[test]
        fn different_inputs_have_different_encodings(one in input(), other in input(), field in 0..8usize) {
            let mut near = one.clone();
            match field {
                0 => near.boots_from = other.boots_from.clone(),
                1 => near.texts = other.texts.clone(),
                2 => near.env = other.env.clone(),
                3 => near.user = other.user.clone(),
                4 => near.args = other.args.clone(),
                5 => near.network = other.network,
                6 => near.policy = other.policy.clone(),
                _ => near.sdk_key = other.sdk_key.clone(),
            }
            prop_assert_eq!(one == near, one.encoded() == near.encoded());
            prop_assert_eq!(one == other, one.encoded() == other.encoded());
        }

        /// No encoding is the beginning of another, so nothing can be hidden by moving bytes between fields.
        #[test]
        fn no_encoding_continues_another(one in input(), other in input()) {
            prop_assume!(one != other);
            prop_assert!(!one.encoded().starts_with(&other.encoded()));
        }
    }

    #[test]
    fn order_of_object_members_does_not_count() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":[2]}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":[2],"a":1}"#).unwrap();
        let mut first = Encoder::new();
        first.json(&one);
        let mut second = Encoder::new();
        second.json(&other);
        assert_eq!(first.bytes, second.bytes);
    }

    fn golden_input(env: &BTreeMap<String, String>, policy: PolicyMaterial, run: impl FnOnce(&KeyInput<'_>)) {
        let digest = ImageDigest::new(DigestAlgorithm::Sha256, [0; 32]);
        run(&KeyInput {
            boots_from: BootsFrom::Image(&digest),
            cmd: "make",
            env,
            workdir: "/workspace",
            user: None,
            platform: "linux/amd64",
            runner: "vm",
            runner_args: None,
            network: None,
            policy,
            sdk_key: None,
        });
    }

    #[test]
    fn the_bytes_of_version_1() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        golden_input(&env, PolicyMaterial::Forever { env: Vec::new() }, |input| {
            let mut expected: Vec<u8> = b"hm step key 1\n".to_vec();
            expected.extend(
                b"\x00\x47\0\0\0\0\0\0\0sha256:0000000000000000000000000000000000000000000000000000000000000000",
            );
            expected.extend(b"\x04\0\0\0\0\0\0\0make");
            expected.extend(b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0A\x01\0\0\0\0\0\0\x00\x31");
            expected.extend(b"\x0a\0\0\0\0\0\0\0/workspace");
            expected.extend(b"\x00");
            expected.extend(b"\x0b\0\0\0\0\0\0\0linux/amd64");
            expected.extend(b"\x02\0\0\0\0\0\0\0vm");
            expected.extend(b"\x00\x00");
            expected.extend(b"\x00\0\0\0\0\0\0\0\0");
            expected.extend(b"\x00");
            assert_eq!(encode(input), expected);
        });
    }

    #[test]
    fn the_keys_of_version_1() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let mut keys = Vec::new();
        let keyed = EnvKey {
            name: "CC".to_owned(),
            value: Some("gcc".to_owned()),
        };
        let unset = EnvKey {
            name: "CXX".to_owned(),
            value: None,
        };
        for policy in [
            PolicyMaterial::Forever {
                env: vec![keyed.clone(), unset],
            },
            PolicyMaterial::Ttl {
                seconds: 3600,
                window: 42,
                env: Vec::new(),
            },
            PolicyMaterial::OnChange { hash: "00".to_owned() },
            PolicyMaterial::Compose {
                parts: vec![(PolicyMaterial::Forever { env: vec![keyed] }, Some("k".to_owned()))],
            },
            PolicyMaterial::Opaque {
                name: "later".to_owned(),
            },
        ] {
            golden_input(&env, policy, |input| keys.push(input.key().to_string()));
        }
        assert_eq!(keys, GOLDEN);
    }

    /// A change here is a change of what every user has cached.
    const GOLDEN: [&str; 5] = [
        "716d7e699e5b46014b5518b654b09ce8ff3bf724b2dd11c9ca2e2b55b18ea35c",
        "acd7b9879011ed365de6a771aee9cbe3a1c9376850c66642a00e839b55e5db16",
        "eb138060dff1dbedf063cffc8459c60890e78ac4c79684fdc95bccbd6eb9c261",
        "a7762eb09ebddd309129309dc3e9c90bac2b6becdff5d8ab7bf6fc61abf5276c",
        "36621c374647087301b49629ee254899d5b8a6a35f02ae9bf0b7cc388b47fbd7",
    ];
}
