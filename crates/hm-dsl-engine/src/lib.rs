//! Finds the pipelines under `.hm/` and turns Python and TypeScript into IR bytes.
//!
//! [`discover`] finds the folder, [`evaluate`] runs the Python files in the user's Python and the TypeScript files in an
//! engine of its own, and gives every pipeline with its
//! definition as written, together with what went wrong in which file. `docs/design/python-evaluation.md` and
//! `docs/design/typescript-evaluation.md` have the decisions.

mod discover;
mod envelope;
mod error;
mod evaluate;
mod interpreter;
mod origins;
mod process;
mod pyenv;
mod python;
mod sources;
mod typescript;

pub use discover::{PipelineDir, discover};
pub use envelope::{Envelope, FileProblem, PipelineDefinition};
pub use error::DslError;
pub use evaluate::{EvalSettings, evaluate, evaluate_within};
pub use interpreter::PythonOrigin;
pub use origins::{Origins, Place};
pub use typescript::TypeScriptLimits;
