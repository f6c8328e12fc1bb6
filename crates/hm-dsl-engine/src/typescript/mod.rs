//! TypeScript pipeline files: their types are stripped and they run in an engine inside this process, or in the
//! user's Node. `docs/design/typescript-evaluation.md` has the decisions.

mod budget;
mod confine;
mod embedded;
mod evaluate;
mod files;
mod limits;
mod loader;
mod machine;
mod narrow;
mod natives;
mod node;
mod problems;
mod rejections;
mod report;
mod resolve;
mod strip;
mod unknown_name;

pub(crate) use evaluate::{TypeScriptSettings, evaluate_typescript};
pub use limits::TypeScriptLimits;
pub(crate) use report::FileReport;
