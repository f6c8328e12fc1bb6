//! Machines: the backend traits and their guarantees, the backends, cache-aware execution.
//!
//! A *machine* is a file system and a way to run commands on it. [`VmBackend`] makes machines from images and snapshots,
//! [`Vm`] is one of them.

mod ids;
mod machine;

pub use ids::{ContentHash, ImageDigest};
pub use machine::{
    BootImage, ExecOutcome, ExecRequest, ImageConfig, MachineRequest, Network, OutputSink, SharedError, StopToken,
    Usage, Vm, VmBackend, VmError,
};
