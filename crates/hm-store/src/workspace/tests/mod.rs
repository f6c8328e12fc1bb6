//! Whole captures, on real folders.

mod bench;
mod changes;
mod copy;
mod keeping;
mod rules;
