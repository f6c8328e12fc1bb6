//! The state machine of a build, told inputs by hand and by chance.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks out the events it is about")]

mod cost;
mod invariants;
mod pipelines;
mod rules;
mod simulation;
