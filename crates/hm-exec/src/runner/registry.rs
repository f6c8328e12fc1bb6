//! Which runners there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::step_runner::StepRunner;

/// The runners by name, one of them the default.
#[derive(Clone, Debug)]
pub struct RunnerRegistry {
    default: String,
    runners: BTreeMap<String, Arc<dyn StepRunner>>,
}

/// Why a runner can't be registered or found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegistryError {
    /// Two runners with one name.
    #[error("there is a runner \"{name}\" already")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// No runner with that name.
    #[error("there is no runner \"{name}\"; there is {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl RunnerRegistry {
    /// A registry with one runner, which is the default.
    pub fn new(default: Arc<dyn StepRunner>) -> Self {
        let name = default.name().to_owned();
        Self {
            default: name.clone(),
            runners: BTreeMap::from([(name, default)]),
        }
    }

    /// Adds a runner under its own name.
    pub fn register(&mut self, runner: Arc<dyn StepRunner>) -> Result<(), RegistryError> {
        let name = runner.name().to_owned();
        if self.runners.contains_key(&name) {
            return Err(RegistryError::Duplicate { name });
        }
        self.runners.insert(name, runner);
        Ok(())
    }

    /// The runner with that name; the default one where there is no name.
    pub fn resolve(&self, name: Option<&str>) -> Result<&Arc<dyn StepRunner>, RegistryError> {
        let name = name.unwrap_or(&self.default);
        self.runners.get(name).ok_or_else(|| RegistryError::Unknown {
            name: name.to_owned(),
            known: self.runners.keys().cloned().collect(),
        })
    }

    /// All names, sorted.
    pub fn runner_names(&self) -> Vec<&str> {
        self.runners.keys().map(String::as_str).collect()
    }

    /// The runner of steps that name none.
    pub fn default_runner_name(&self) -> &str {
        &self.default
    }

    /// All runners, by name.
    pub fn runners(&self) -> impl Iterator<Item = &Arc<dyn StepRunner>> {
        self.runners.values()
    }
}
