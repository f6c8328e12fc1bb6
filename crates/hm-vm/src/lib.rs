//! Machines: the backend traits and their guarantees, the backends, cache-aware execution.
//!
//! A *machine* is a file system and a way to run commands on it. [`VmBackend`] makes machines from images and snapshots,
//! [`Vm`] is one of them. [`HmVm`] runs steps in them and uses the cache.

mod cache_key;
mod deltas;
mod docker;
mod environment;
mod in_use;
mod machine;
mod memory;
mod sandbox;
mod step;
mod stopping;
mod user;

pub use cache_key::{BootsFrom, EnvKey, KeyInput, PolicyMaterial};
pub use docker::{
    CertificateFileError, DockerBackend, DockerError, DockerSettings, EngineAddress, EngineInfo, EngineObserver,
    SshDestination, SshError, ask_engine,
};
pub use hm_store::workspace::Workspace;
pub use hm_store::{CacheKey, ContentHash, ImageDigest};
pub use machine::{
    BootImage, ExecOutcome, ExecRequest, ImageConfig, Limits, MachineRequest, Network, OutputSink, SharedError,
    StopToken, Usage, Vm, VmBackend, VmError,
};
pub use memory::{MemoryBackend, MemoryImage};
pub use sandbox::{RootKind, SandboxBackend, SandboxSettings};
pub use step::{
    CacheGuard, HmVm, HmVmError, HmVmSettings, KeySpec, Lookup, LookupAnswer, MemoryCache, ParentState, PendingEntry,
    PolicyAnswer, Reservation, StepBase, StepCache, StepRun, StepSpec, StepState,
};
pub use user::UserProblem;
