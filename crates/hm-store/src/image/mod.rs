//! Images: what a machine's root file system starts from.

mod archive;
mod blobs;
mod choose;
mod compression;
mod digest;
mod documents;
mod error;
mod folder;
mod host;
mod layer_root;
mod pax;
mod platform;
mod reference;
mod resolve;
mod stat_entry;
mod tar_stream;
#[cfg(test)]
mod tests;
mod unpack;

pub use archive::ImageLimits;
pub use error::{ImageError, UnpackError};
pub use pax::PaxError;
pub use platform::Platform;
pub use reference::{ImageRef, ImageRefError, LocalSource, RefProblem, RegistryRef};
pub use resolve::{ImageConfig, ResolvedImage};
pub use tar_stream::TarError;
