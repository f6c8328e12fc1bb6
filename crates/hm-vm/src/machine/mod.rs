//! What a backend promises.

mod backend;
mod error;
mod name;
mod output;
mod request;
mod stop;

pub use backend::{Vm, VmBackend};
pub use error::{SharedError, VmError};
pub(crate) use name::{HOSTNAME, OWN_ADDRESS, own_line};
pub use output::OutputSink;
pub(crate) use request::DEFAULT_WORKDIR;
pub use request::{BootImage, ExecOutcome, ExecRequest, ImageConfig, Limits, MachineRequest, Network, Usage};
pub use stop::StopToken;
