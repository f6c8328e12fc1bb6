//! Putting the layers on each other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::entry::{Entry, Value};
use crate::error::{ConfigError, ConfigProblem, Origin};
use crate::file::ConfigFile;
use crate::keys;
use crate::settings::Settings;

const PREFIX: &str = "HM_";

/// Variables that are no keys: of pipeline evaluation, and of clients of the cloud API.
const NOT_KEYS: [&str; 6] = [
    "HM_API_TOKEN",
    "HM_API_URL",
    "HM_ORG",
    "HM_PYTHON",
    "HM_SDK",
    "HM_TS_RUNTIME",
];

/// Where settings come from, the weakest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Layers {
    /// The user's file.
    pub user_file: Option<ConfigFile>,
    /// The project's file: the nearest one upward.
    pub project_file: Option<ConfigFile>,
    /// The environment. Only `HM_*` is looked at; a variable of no characters counts as absent.
    pub variables: BTreeMap<String, String>,
    /// The command line, in its order.
    pub flags: Vec<FlagValue>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
}

/// A flag that sets a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlagValue {
    /// As the user writes it, for messages: `--parallelism`.
    pub flag: String,
    /// The key that it sets: `parallelism`.
    pub key: String,
    /// As the user wrote it; parts of a list stand between commas.
    pub value: String,
}

/// Settings with what is odd about where they come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Keys that do not exist.
    pub warnings: Vec<ConfigProblem>,
}

impl Layers {
    /// Puts the layers on each other.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem of every layer, also of values that a stronger layer replaces.
    pub fn resolve(&self) -> Result<Resolved, ConfigError> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let mut settings = Settings::default();
        for Entry { key, value, origin } in self.entries(&mut problems) {
            match keys::set(&mut settings, &key, &value, self.home.as_deref()) {
                Ok(true) => {}
                Ok(false) => {
                    let (found, (message, hint)) = match misplaced(&key) {
                        Some(complaint) => (&mut problems, complaint),
                        None => (
                            &mut warnings,
                            (format!("unknown key `{key}`"), keys::unknown_hint(&key)),
                        ),
                    };
                    found.push(ConfigProblem { origin, message, hint });
                }
                Err((complaint, hint)) => {
                    problems.push(ConfigProblem {
                        origin,
                        message: format!("`{key}` {complaint}"),
                        hint,
                    });
                }
            }
        }
        if problems.is_empty() {
            Ok(Resolved { settings, warnings })
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }

    fn entries(&self, problems: &mut Vec<ConfigProblem>) -> Vec<Entry> {
        let Self {
            user_file,
            project_file,
            variables,
            flags,
            home: _,
        } = self;
        let files = [user_file, project_file].into_iter().flatten();
        let mut entries: Vec<Entry> = files.flat_map(|file| file.entries(problems)).collect();
        entries.extend(variables.iter().filter_map(|(name, value)| variable(name, value)));
        entries.extend(flags.iter().map(|FlagValue { flag, key, value }| Entry {
            key: key.clone(),
            value: Value::Raw(value.clone()),
            origin: Origin::Flag(flag.clone()),
        }));
        entries
    }
}

fn variable(name: &str, value: &str) -> Option<Entry> {
    let key = name.strip_prefix(PREFIX).filter(|_| !value.is_empty())?;
    (!NOT_KEYS.contains(&name)).then(|| Entry {
        key: key.to_lowercase().replace("__", "."),
        value: Value::Raw(value.to_owned()),
        origin: Origin::Variable(name.to_owned()),
    })
}

/// A key that takes no value, or one that stands inside of a value.
fn misplaced(key: &str) -> Option<(String, String)> {
    if keys::is_table(key) {
        return Some((
            format!("`{key}` must be a table"),
            format!("write `[{key}]` and its keys below"),
        ));
    }
    let outer = keys::inside_of(key)?;
    Some((
        format!("`{outer}` can't be a table"),
        format!("write a value for `{outer}`"),
    ))
}
