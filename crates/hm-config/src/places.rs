//! Where configuration files are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PROJECT_FILE: &str = ".hm/config.toml";
const USER_FILE: &str = "hm/config.toml";

/// The user's file, by the XDG base directory specification: under `XDG_CONFIG_HOME` where that is an absolute path, else
/// under `~/.config`. `None` where there is no home folder either.
pub fn user_config_path(variables: &BTreeMap<String, String>, home: Option<&Path>) -> Option<PathBuf> {
    let named = variables
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    named
        .or_else(|| home.map(|home| home.join(".config")))
        .map(|folder| folder.join(USER_FILE))
}

/// Where the project's file may be, the nearest first: the first that exists is the one.
pub fn project_config_paths(start: &Path) -> impl Iterator<Item = PathBuf> {
    start.ancestors().map(|folder| folder.join(PROJECT_FILE))
}
