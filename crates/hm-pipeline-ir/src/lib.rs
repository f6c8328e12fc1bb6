//! The input contract: the versioned JSON IR, its validation into a [`PipelineGraph`], its schema.
//!
//! A document is read with [`Pipeline::parse`]. It is either accepted whole, with the bytes kept as received, or refused
//! with every problem it has.

mod cache;
mod check;
mod cycles;
mod document;
mod graph;
mod links;
mod pipeline;
mod problem;
mod read;
mod schema;
mod step;

pub use cache::{Cache, CachePolicy};
pub use document::{Document, EdgeKind, EdgeProperty, GraphDocument, NodeDocument, Version};
pub use graph::{Chain, ChainIdx, PipelineGraph, StepIndex};
pub use pipeline::{Pipeline, display_name};
pub use problem::{IrError, Problem, ProblemCode};
pub use schema::ir_schema;
pub use step::{Mount, NetworkMode, Resources, Retry, RetryOn, Secret, Service, Step, StepKey};
