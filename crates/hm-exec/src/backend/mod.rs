//! A whole build as its caller sees it.

mod capabilities;
mod control;
mod events;
mod outcome;
mod preflight;
#[cfg(test)]
mod preflight_tests;
mod request;
mod traits;

pub use capabilities::{Capabilities, Feature, RunOption};
pub use control::{Canceller, Control, ControlEnd, control};
pub use events::{EventSource, EventStream, EventsError};
pub use outcome::{BuildError, BuildOutcome, StartError};
pub use preflight::{Objection, Rejection, preflight};
pub use request::{RunOptions, RunRequest};
pub use traits::{BackendHandle, ExecutionBackend};
