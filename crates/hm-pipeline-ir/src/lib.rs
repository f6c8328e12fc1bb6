//! The input contract: the versioned JSON IR, its validation into a [`PipelineGraph`], its schema.
//!
//! A document is read with [`Pipeline::parse`]. It is either accepted whole, with the bytes kept as received, or refused
//! with every problem it has.

mod cache;
mod graph;
mod step;

pub use cache::{Cache, CachePolicy};
pub use graph::{Chain, ChainIdx, PipelineGraph, StepIndex};
pub use step::{Mount, NetworkMode, Resources, Retry, RetryOn, Secret, Service, Step, StepKey};
