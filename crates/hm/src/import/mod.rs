//! Workflows of GitHub Actions as pipelines in Python.

mod actions;
mod calls;
mod container;
mod expression;
mod fields;
mod helpers;
mod job;
mod matrix;
mod notes;
mod plain;
mod python;
mod runner;
mod setup;
mod skipped;
mod step;
mod triggers;
mod workflow;
mod yaml;

pub(crate) use workflow::{Imported, github};
pub(crate) use yaml::YamlError;
