//! `ExecutionBackend` and the local backend: the pure build state, the dispatcher, the runners.
//!
//! [`BuildState`] decides, the dispatcher carries out, a runner does the work of one step.

mod state;

pub use state::{
    AttemptEnd, BuildSettings, BuildState, CacheAnswer, Effect, Input, Selection, Timer, UnknownStep, Verdict,
};
