//! What a backend promises.

mod backend;
mod error;
mod output;
mod request;
mod stop;

pub use backend::{Vm, VmBackend};
pub use error::{SharedError, VmError};
pub use output::OutputSink;
pub(crate) use request::DEFAULT_WORKDIR;
pub use request::{BootImage, ExecOutcome, ExecRequest, ImageConfig, Limits, MachineRequest, Network, Usage};
pub use stop::StopToken;
