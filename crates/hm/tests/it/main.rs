//! The built binary on real pipelines: one file a promise.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod bad_input;
mod cache;
mod command_line;
mod crash;
mod environment;
mod examples;
mod logs;
mod outcomes;
mod support;
mod tree;
