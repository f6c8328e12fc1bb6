//! From bytes to a draft: every member looked at, every problem noted, nothing said about the graph yet.

mod document;
mod fields;
mod json;
mod pointer;
mod step;
mod value;

pub(crate) use document::{DraftEdge, read};
