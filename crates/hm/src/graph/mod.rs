//! Pictures of a pipeline's graph.

mod bundles;
mod dot;
mod edges;
mod layout;
mod mermaid;
mod svg;
mod text;
mod words;

pub(crate) use dot::dot;
pub(crate) use mermaid::mermaid;
pub(crate) use svg::svg;
pub(crate) use text::text;
