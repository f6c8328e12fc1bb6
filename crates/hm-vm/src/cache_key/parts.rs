//! The record of what went into a key, for `hm why`.

use hm_pipeline_ir::NetworkMode;
use serde_json::{Map, Value, json};

use super::input::{BootsFrom, EnvKey, KeyInput, PolicyMaterial};

/// The record. Values of variables appear as hashes: what a variable holds may be nobody's business, that it changed is
/// what is asked.
pub(super) fn parts(input: &KeyInput<'_>) -> Value {
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
    json!({
        "version": 1,
        "boots_from": match boots_from {
            BootsFrom::Image(digest) => json!({ "image": digest.to_string() }),
            BootsFrom::ParentKey(key) => json!({ "parent_key": key.to_string() }),
            BootsFrom::ParentContent(hash) => json!({ "parent_content": hash.to_string() }),
        },
        "cmd": cmd,
        "env": env.iter().map(|(name, value)| (name.clone(), hashed(value))).collect::<Map<_, _>>(),
        "workdir": workdir,
        "user": user,
        "platform": platform,
        "runner": runner,
        "runner_args": runner_args,
        "network": network.map(|network| match network {
            NetworkMode::Host => "host",
            NetworkMode::Isolated => "isolated",
            NetworkMode::None => "none",
        }),
        "policy": policy_parts(policy),
        "sdk_key": sdk_key,
    })
}

fn policy_parts(policy: &PolicyMaterial) -> Value {
    match policy {
        PolicyMaterial::Forever { env } => json!({ "policy": "forever", "env_keys": env_keys(env) }),
        PolicyMaterial::Ttl { seconds, window, env } => {
            json!({ "policy": "ttl", "duration_seconds": seconds, "window": window, "env_keys": env_keys(env) })
        }
        PolicyMaterial::OnChange { hash } => json!({ "policy": "on_change", "hash": hash }),
        PolicyMaterial::Compose { parts } => json!({
            "policy": "compose",
            "sub_policies": parts
                .iter()
                .map(|(part, key)| json!({ "material": policy_parts(part), "key": key }))
                .collect::<Vec<_>>(),
        }),
        PolicyMaterial::Opaque { name } => json!({ "policy": name }),
    }
}

fn env_keys(env: &[EnvKey]) -> Map<String, Value> {
    env.iter()
        .map(|EnvKey { name, value }| (name.clone(), value.as_deref().map_or(Value::Null, hashed)))
        .collect()
}

fn hashed(value: &str) -> Value {
    let hash = blake3::hash(value.as_bytes()).to_hex();
    Value::String(format!("blake3:{}", hash.chars().take(32).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use hm_store::{DigestAlgorithm, ImageDigest};

    #[test]
    fn values_of_variables_are_not_in_the_record() {
        let env = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let digest = ImageDigest::new(DigestAlgorithm::Sha256, [0; 32]);
        let input = KeyInput {
            boots_from: BootsFrom::Image(&digest),
            cmd: "make",
            env: &env,
            workdir: "/workspace",
            user: None,
            platform: "linux/amd64",
            runner: "vm",
            runner_args: None,
            network: Some(NetworkMode::None),
            policy: PolicyMaterial::Forever {
                env: vec![
                    EnvKey {
                        name: "KEY".to_owned(),
                        value: Some("hunter3".to_owned()),
                    },
                    EnvKey {
                        name: "UNSET".to_owned(),
                        value: None,
                    },
                ],
            },
            sdk_key: None,
        };
        let parts = input.parts();
        assert!(!parts.to_string().contains("hunter"));
        assert_eq!(parts["policy"]["env_keys"]["UNSET"], Value::Null);
        assert_eq!(parts["env"]["TOKEN"], hashed("hunter2"));
        assert_eq!(parts["network"], "none");
        assert_eq!(parts["boots_from"]["image"], digest.to_string());
    }
}
