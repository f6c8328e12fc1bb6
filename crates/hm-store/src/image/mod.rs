//! Images: what a machine's root file system starts from.

mod error;
mod folder;
mod host;
mod platform;
mod reference;
mod resolve;
mod stat_entry;

pub use error::ImageError;
pub use platform::Platform;
pub use reference::{ImageRef, ImageRefError, LocalSource, RefProblem, RegistryRef};
pub use resolve::{ImageConfig, ResolvedImage};
