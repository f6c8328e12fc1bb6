//! Reading one step.

use std::num::NonZeroU64;

use super::fields::Fields;
use super::json::Json;
use super::pointer::Pointer;
use super::value::{
    any, boolean, environment, list, positive, positive_fraction, process_text, seconds, string, unsigned_32, word,
};
use crate::cache::{Cache, CachePolicy, KNOWN_POLICIES};
use crate::problem::{Findings, ProblemCode};
use crate::step::{Mount, Resources, Retry, Secret, Service, Step, StepKey};

/// Members that are missing or wrong are noted and stand as empty ones, so that the rest is looked at too.
pub(super) fn step(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Step> {
    let mut fields = Fields::of(value, at, findings)?;
    let step = Step {
        key: fields
            .required("key", findings, key)
            .unwrap_or_else(|| StepKey::new("")),
        label: fields.optional("label", findings, string),
        cmd: fields.required("cmd", findings, process_text).unwrap_or_default(),
        image: fields.optional("image", findings, string),
        env: fields.optional("env", findings, environment),
        timeout_seconds: fields.optional("timeout_seconds", findings, seconds),
        cache: fields.optional("cache", findings, cache),
        runner: fields.optional("runner", findings, string),
        runner_args: fields.optional("runner_args", findings, any),
        continue_on_failure: fields.defaulted("continue_on_failure", findings, boolean),
        allow_failure: fields.defaulted("allow_failure", findings, boolean),
        retry: fields.optional("retry", findings, retry),
        outputs: fields.defaulted("outputs", findings, list(string)),
        secrets: fields.defaulted("secrets", findings, list(secret)),
        services: fields.defaulted("services", findings, list(service)),
        resources: fields.optional("resources", findings, resources),
        network: fields.optional("network", findings, word(&["host", "isolated", "none"])),
        mounts: fields.defaulted("mounts", findings, list(mount)),
    };
    fields.finish(findings);
    Some(step)
}

fn key(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<StepKey> {
    let key = string(value, at, findings)?;
    if key.is_empty() {
        findings.problem(
            ProblemCode::EmptyKey,
            at,
            "the key is empty",
            "give the step a key of its own",
        );
    }
    Some(StepKey::new(key))
}

fn cache(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Cache> {
    let mut fields = Fields::of(value, at, findings)?;
    let key = fields.optional("key", findings, string);
    let name = fields.required("policy", findings, string)?;
    let policy = match name.as_str() {
        "none" => CachePolicy::None,
        "auto" => CachePolicy::Auto,
        "forever" => CachePolicy::Forever {
            env_keys: fields.defaulted("env_keys", findings, list(string)),
        },
        "ttl" => {
            let duration_seconds = fields.required("duration_seconds", findings, positive);
            let env_keys = fields.defaulted("env_keys", findings, list(string));
            CachePolicy::Ttl {
                duration_seconds: duration_seconds?,
                env_keys,
            }
        }
        "on_change" => CachePolicy::OnChange {
            paths: fields.required("paths", findings, list(string)).unwrap_or_default(),
        },
        "compose" => CachePolicy::Compose {
            sub_policies: fields
                .required("sub_policies", findings, list(cache))
                .unwrap_or_default(),
        },
        // Its other members are for those who know the policy.
        _ if key.is_some() => {
            return Some(Cache {
                policy: CachePolicy::Opaque { name },
                key,
            });
        }
        _ => {
            let message = format!("unknown cache policy {name:?} without a key");
            let hint = format!("one of: {}; another one must carry a `key`", KNOWN_POLICIES.join(", "));
            findings.problem(ProblemCode::UnknownCachePolicy, at.member("policy"), message, hint);
            return None;
        }
    };
    fields.finish(findings);
    Some(Cache { policy, key })
}

fn retry(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Retry> {
    let mut fields = Fields::of(value, at, findings)?;
    let max = fields.required("max", findings, unsigned_32).unwrap_or_default();
    let on = fields.defaulted("on", findings, list(word(&["exit", "timeout", "infra"])));
    fields.finish(findings);
    Some(Retry { max, on })
}

fn secret(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Secret> {
    let mut fields = Fields::of(value, at, findings)?;
    let secret = Secret {
        name: fields.required("name", findings, string).unwrap_or_default(),
        env: fields.optional("env", findings, string),
        file: fields.optional("file", findings, string),
    };
    fields.finish(findings);
    Some(secret)
}

fn service(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Service> {
    any(value, at, findings).map(Service)
}

fn resources(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Resources> {
    let mut fields = Fields::of(value, at, findings)?;
    let resources = Resources {
        cpus: fields.optional("cpus", findings, positive_fraction),
        memory_mib: fields.optional("memory_mib", findings, positive).map(NonZeroU64::get),
        pids: fields.optional("pids", findings, positive).map(NonZeroU64::get),
    };
    fields.finish(findings);
    Some(resources)
}

fn mount(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<Mount> {
    let mut fields = Fields::of(value, at, findings)?;
    let mount = Mount {
        kind: fields.required("kind", findings, string).unwrap_or_default(),
        name: fields.required("name", findings, string).unwrap_or_default(),
        path: fields.required("path", findings, string).unwrap_or_default(),
    };
    fields.finish(findings);
    Some(mount)
}
