//! The keys that exist, and what each one sets.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use crate::entry::Value;
use crate::settings::{OutputFormat, SandboxNetwork, SandboxRoots, Settings, WorkspaceSettings};
use crate::value::{Complaint, bytes, list, number, path, text, word};

/// Every key, with dots between its parts.
pub const KEYS: [&str; 14] = [
    "backend",
    "cache.max_bytes",
    "default_image",
    "grace_seconds",
    "parallelism",
    "preferences.format",
    "sandbox.ca_files",
    "sandbox.expose",
    "sandbox.insecure_registries",
    "sandbox.mirrors",
    "sandbox.network",
    "sandbox.roots",
    "store.dir",
    "workspace.include",
];

const FORMATS: [(&str, OutputFormat); 2] = [("human", OutputFormat::Human), ("json", OutputFormat::Json)];

const NETWORKS: [(&str, SandboxNetwork); 3] = [
    ("host", SandboxNetwork::Host),
    ("isolated", SandboxNetwork::Isolated),
    ("none", SandboxNetwork::None),
];

const ROOTS: [(&str, SandboxRoots); 2] = [("auto", SandboxRoots::Auto), ("copies", SandboxRoots::Copies)];

#[derive(Clone, Copy, PartialEq)]
enum Included {
    Git,
    Hm,
}

const INCLUDED: [(&str, Included); 2] = [(".git", Included::Git), (".hm", Included::Hm)];

const MAX_PARALLELISM: u32 = 100_000;
const MAX_GRACE_SECONDS: u32 = 24 * 60 * 60;

/// Whether the key exists; where it does, its setting takes the value.
pub(crate) fn set(settings: &mut Settings, key: &str, value: &Value, home: Option<&Path>) -> Result<bool, Complaint> {
    match key {
        "backend" => settings.backend = text(value)?,
        "cache.max_bytes" => settings.cache_max_bytes = Some(bytes(value)?),
        "default_image" => settings.default_image = text(value)?,
        "grace_seconds" => settings.grace = Duration::from_secs(number(value, 0, MAX_GRACE_SECONDS)?.into()),
        "parallelism" => settings.parallelism = NonZeroU32::new(number(value, 1, MAX_PARALLELISM)?),
        "preferences.format" => settings.format = word(value, &FORMATS)?,
        "sandbox.ca_files" => settings.sandbox.ca_files = list(value, |item| path(item, home))?,
        "sandbox.insecure_registries" => settings.sandbox.insecure_registries = list(value, text)?,
        "sandbox.mirrors" => settings.sandbox.mirrors = list(value, mirror)?,
        "sandbox.expose" => settings.sandbox.expose = list(value, |item| path(item, home))?,
        "sandbox.network" => settings.sandbox.network = Some(word(value, &NETWORKS)?),
        "sandbox.roots" => settings.sandbox.roots = word(value, &ROOTS)?,
        "store.dir" => settings.store_dir = Some(path(value, home)?),
        "workspace.include" => {
            let included = list(value, |item| word(item, &INCLUDED))?;
            settings.workspace = WorkspaceSettings {
                include_git: included.contains(&Included::Git),
                include_hm: included.contains(&Included::Hm),
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `REGISTRY=MIRROR`.
fn mirror(value: &Value) -> Result<(String, String), Complaint> {
    let text = text(value)?;
    let parts = text
        .split_once('=')
        .filter(|(registry, mirror)| !registry.is_empty() && !mirror.is_empty());
    let Some((registry, mirror)) = parts else {
        let hint = "write a registry and where to look first: docker.io=mirror.example".to_owned();
        return Err((format!("can't be {text:?}"), hint));
    };
    Ok((registry.to_owned(), mirror.to_owned()))
}

/// What to say about a key that does not exist.
pub(crate) fn unknown_hint(key: &str) -> String {
    let scored = KEYS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), *known));
    match scored.min_by_key(|(distance, _)| *distance) {
        Some((distance, known)) if distance <= key.chars().count() / 2 => format!("did you mean `{known}`?"),
        Some(_) | None => format!("known keys: {}", KEYS.join(", ")),
    }
}

/// Whether the key is the name of a table of keys.
pub(crate) fn is_table(key: &str) -> bool {
    KEYS.iter()
        .any(|known| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// The key that this one stands inside of, where that one is no table.
pub(crate) fn inside_of(key: &str) -> Option<&'static str> {
    KEYS.into_iter()
        .find(|known| key.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        for key in KEYS {
            let complaint_or_true = set(&mut Settings::default(), key, &Value::Other("a float"), None);
            assert!(complaint_or_true.is_err(), "{key}");
        }
    }

    #[test]
    fn every_key_is_documented_and_no_other() {
        let page = include_str!("../../../docs/reference/configuration.md");
        let rows = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let mut documented: Vec<&str> = rows.map(|(key, _)| key).collect();
        documented.sort_unstable();
        assert_eq!(documented, KEYS);
    }
}
