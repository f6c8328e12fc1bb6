//! Images of registries: OCI distribution specification v1.1 and Docker's registry protocol version 2.
//!
//! Nothing here reads the environment or prints; see `docs/design/registry.md`.

mod answer;
mod authorities;
mod challenge;
mod client;
mod docker_config;
mod download;
mod endpoint;
mod error;
mod growing;
mod helper;
mod lock_file;
mod login;
mod partial;
mod progress;
mod pull;
mod record;
mod repository;
mod retry;
mod settings;
mod unpack_kept;
mod unpacking;

pub use docker_config::{Credentials, DockerConfig, DockerConfigError};
pub use error::{AnswerError, AuthorityError, HelperError, RegistryError};
pub use lock_file::{ImageLock, LockError};
pub use progress::{PullEvent, PullObserver, Unobserved};
pub use settings::{AuthoritySettings, ProxySettings, RegistrySettings, RetrySettings, TimeoutSettings};

pub(super) use client::http_client;
pub(super) use growing::Growing;
pub(super) use partial::remove_partials;
pub(super) use pull::Puller;
#[cfg(test)]
pub(super) use record::index_name;
pub(super) use record::{PREFIX, PullRecord, Pulled};
pub(super) use unpack_kept::unpack_kept;
