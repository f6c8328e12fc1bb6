//! Finds the pipelines under `.hm/` and turns Python into IR bytes.
//!
//! [`discover`] finds the folder, [`evaluate`] runs its files in the user's Python and gives every pipeline with its
//! definition as written, together with what went wrong in which file. `docs/design/python-evaluation.md` has the
//! decisions.

mod discover;
mod envelope;
mod error;
mod evaluate;
mod interpreter;
mod process;
mod pyenv;
mod sources;

pub use discover::{PipelineDir, discover};
pub use envelope::{Envelope, FileProblem, PipelineDefinition};
pub use error::DslError;
pub use evaluate::{EvalSettings, evaluate};
pub use interpreter::PythonOrigin;
