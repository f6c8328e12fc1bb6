//! Whole builds on machines in memory, with a real store and journal.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks out the events it is about")]

mod bench;
mod caching;
mod ends;
mod files;
mod starting;
