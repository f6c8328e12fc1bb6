//! Pulls images from servers on loopback: a real one, and one that does what a real one does on bad days.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "helpers of tests may panic")]

mod access;
mod at_once;
mod bad_days;
mod fake;
mod full_disk;
mod keeping;
mod made;
mod pulling;
mod real;
mod sharing;
mod tls;
mod world;
