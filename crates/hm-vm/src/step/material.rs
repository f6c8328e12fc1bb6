//! What a step's cache policy adds to its key.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};

use hm_pipeline_ir::{Cache, CachePolicy};
use hm_store::workspace::{Manifest, OnChange, PatternError, Workspace, hash_paths};
use hm_store::{Clock, TreeId};

use crate::cache_key::{EnvKey, PolicyMaterial};

/// What was worked out already: many steps of a build name the same paths of the same tree.
#[derive(Debug, Default)]
pub(super) struct Selections {
    known: Mutex<HashMap<(TreeId, Vec<String>), OnChange>>,
}

/// Works out the material of one step.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    pub(super) selections: &'a Selections,
    pub(super) workspace: Option<&'a Workspace>,
    pub(super) machine_env: &'a BTreeMap<String, String>,
    pub(super) clock: &'a dyn Clock,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

impl Gathering<'_> {
    /// The material; `None` where the policy keeps no result.
    pub(super) fn material(&mut self, cache: &Cache) -> Result<Option<PolicyMaterial>, PatternError> {
        Ok(Some(match &cache.policy {
            CachePolicy::None | CachePolicy::Auto => return Ok(None),
            CachePolicy::Forever { env_keys } => PolicyMaterial::Forever {
                env: self.env(env_keys),
            },
            CachePolicy::Ttl {
                duration_seconds,
                env_keys,
            } => PolicyMaterial::Ttl {
                seconds: duration_seconds.get(),
                window: self.window(*duration_seconds),
                env: self.env(env_keys),
            },
            CachePolicy::OnChange { paths } => {
                let OnChange {
                    hash,
                    selected: _,
                    unmatched,
                } = self.select(paths)?;
                self.notes.extend(
                    unmatched
                        .into_iter()
                        .map(|path| format!("cache policy on_change: {path:?} matches nothing in the workspace")),
                );
                PolicyMaterial::OnChange {
                    hash: hash.to_hex().to_string(),
                }
            }
            CachePolicy::Compose { sub_policies } => {
                let mut parts = Vec::with_capacity(sub_policies.len());
                for sub in sub_policies {
                    let Some(material) = self.material(sub)? else {
                        return Ok(None);
                    };
                    parts.push((material, sub.key.clone()));
                }
                PolicyMaterial::Compose { parts }
            }
            CachePolicy::Opaque { name } => PolicyMaterial::Opaque { name: name.clone() },
        }))
    }

    fn env(&self, names: &[String]) -> Vec<EnvKey> {
        let mut env: Vec<EnvKey> = names
            .iter()
            .map(|name| EnvKey {
                name: name.clone(),
                value: self.machine_env.get(name).cloned(),
            })
            .collect();
        env.sort_unstable();
        env.dedup();
        env
    }

    /// Whole windows since the epoch.
    fn window(&self, seconds: NonZeroU64) -> i64 {
        let seconds = i64::try_from(seconds.get()).unwrap_or(i64::MAX);
        self.clock.now().as_second().div_euclid(seconds)
    }

    fn select(&self, paths: &[String]) -> Result<OnChange, PatternError> {
        let Some(workspace) = self.workspace else {
            return hash_paths(&Manifest::default(), paths);
        };
        let known = || self.selections.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (workspace.tree, paths.to_vec());
        if let Some(found) = known().get(&name) {
            return Ok(found.clone());
        }
        let found = hash_paths(&workspace.manifest, paths)?;
        known().insert(name, found.clone());
        Ok(found)
    }
}
