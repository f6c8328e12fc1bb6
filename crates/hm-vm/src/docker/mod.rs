//! Machines as containers of a Docker engine, or of one that speaks its language.
//!
//! A snapshot is a layer of the [`hm_store::Store`] that holds no files but a [`record::Record`]: which image of the
//! engine has them. So leases, cache entries and sweeps of the store are those of the engine's images, too.

mod address;
mod backend;
mod connect;
mod container;
mod content;
mod error;
mod exec;
mod identity;
mod image;
mod janitor;
mod keep;
mod machine;
mod networks;
mod nodes;
mod pending;
mod plan;
mod record;
mod script;
mod seeds;
mod shared;
mod ssh;
mod sweep;
mod tls;
mod upload;
mod workspace;

pub use address::{EngineAddress, SshDestination};
pub use backend::{DockerBackend, DockerSettings, EngineObserver};
pub(crate) use connect::connect;
pub use connect::{EngineInfo, ask_engine};
pub use error::DockerError;
pub use ssh::SshError;
pub use tls::CertificateFileError;
