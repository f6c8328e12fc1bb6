//! The pure state of one build: inputs in, effects out.

mod build_state;
mod effect;
mod input;
mod lookup_turns;
mod ranks;
mod selection;
mod slot;
mod turn;
mod turn_lookups;
mod verdict;

pub use build_state::{BuildSettings, BuildState};
pub use effect::{Effect, Timer};
pub use input::{AttemptEnd, CacheAnswer, Input};
pub use selection::{Selection, UnknownStep};
