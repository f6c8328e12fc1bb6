//! Images: what a machine's root file system starts from.

mod archive;
mod blobs;
mod catalog;
mod choose;
mod compression;
mod digest;
mod documents;
mod error;
mod folder;
mod folder_end;
mod host;
mod images;
mod kept;
mod known;
mod layer;
mod layer_root;
mod layers;
mod limits;
mod pax;
mod platform;
mod read_ahead;
mod reference;
mod registry;
mod resolve;
mod search;
mod stat_entry;
mod tar_stream;
#[cfg(test)]
mod tests;
mod unpack;

pub use catalog::{KeptBecause, PulledImage, RemovedImage};
pub use error::{ImageError, UnpackError};
pub use images::{ImageSettings, Images};
pub use limits::ImageLimits;
pub use pax::PaxError;
pub use platform::Platform;
pub use reference::{ImageRef, ImageRefError, LocalSource, RefProblem, RegistryRef};
pub use registry::{
    AnswerError, AuthorityError, AuthoritySettings, Credentials, DockerConfig, DockerConfigError, HelperError,
    ImageLock, LockError, ProxySettings, PullEvent, PullObserver, RegistryError, RegistrySettings, RetrySettings,
    TimeoutSettings, Unobserved,
};
pub use resolve::{ImageConfig, ResolvedImage};
pub use tar_stream::TarError;

pub(crate) use kept::fall_back_to_blobs;
