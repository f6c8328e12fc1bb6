//! Machines: the backend traits and their guarantees, the backends, cache-aware execution.
//!
//! A *machine* is a file system and a way to run commands on it. [`VmBackend`] makes machines from images and snapshots,
//! [`Vm`] is one of them.

mod cache_key;
mod ids;
mod machine;

pub use cache_key::{BootsFrom, EnvKey, KeyInput, PolicyMaterial};
pub use ids::{CacheKey, ContentHash, ImageDigest};
pub use machine::{
    BootImage, ExecOutcome, ExecRequest, ImageConfig, MachineRequest, Network, OutputSink, SharedError, StopToken,
    Usage, Vm, VmBackend, VmError,
};
