//! The dispatcher with runners that follow a script and logs that can fail.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks out the events it is about")]

mod builds;
mod memory_log;
mod scripted_runner;
mod trials;
