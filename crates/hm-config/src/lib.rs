//! Layered configuration: defaults < the user's file < the project's file < `HM_*` variables < flags.
//!
//! Nothing here reads the environment or knows the home folder: both are given. [`Layers::resolve`] gives [`Settings`] or
//! every problem at once, each with the file and line, the variable or the flag that it comes from.

mod entry;
mod error;
mod file;
mod keys;
mod layers;
mod places;
mod settings;
mod value;

pub use error::{ConfigError, ConfigProblem, Origin};
pub use file::ConfigFile;
pub use keys::KEYS;
pub use layers::{FlagValue, Layers, Resolved};
pub use places::{project_config_paths, user_config_path};
pub use settings::{OutputFormat, SandboxNetwork, SandboxRoots, SandboxSettings, Settings, WorkspaceSettings};
