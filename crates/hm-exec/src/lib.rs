//! `ExecutionBackend` and the local backend: the pure build state, the dispatcher, the runners.
//!
//! [`BuildState`] decides, the dispatcher carries out, a [`StepRunner`] does the work of one step.

#![forbid(unsafe_code)]

mod backend;
mod dispatch;
mod local;
mod root_images;
mod runner;
mod state;

pub use backend::{
    BackendHandle, BuildError, BuildOutcome, Canceller, Capabilities, Control, ControlEnd, EventSource, EventStream,
    EventsError, ExecutionBackend, Feature, Objection, Rejection, RunOption, RunOptions, RunRequest, StartError,
    control, preflight,
};
pub use local::{KnownKey, LocalBackend, LocalSettings, PullEvents, StepKeys, VmRunner};
pub use root_images::RootImages;
pub use runner::{
    BuildContext, Keep, Keepsake, Lookup, RegistryError, RunnerRegistry, StepContext, StepError, StepRunner, causes,
};
pub use state::{AttemptEnd, BuildSettings, BuildState, CacheAnswer, Effect, Input, Selection, Timer, UnknownStep};
