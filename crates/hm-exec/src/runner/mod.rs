//! What does the work of one step.

mod context;
mod error;
mod keepsake;
mod lookup;
mod registry;
#[cfg(test)]
pub(crate) mod registry_tests;
mod step_runner;

pub use context::{BuildContext, Keep, StepContext};
pub(crate) use context::{StepLog, WORKDIR};
pub use error::{StepError, causes};
pub use keepsake::Keepsake;
pub use lookup::Lookup;
pub use registry::{RegistryError, RunnerRegistry};
pub use step_runner::StepRunner;
