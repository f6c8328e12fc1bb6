//! Draws events: each renderer is a fold of a build's events to bytes.

mod human;
mod json;
mod renderer;

pub use human::{HumanRenderer, HumanSettings};
pub use json::JsonRenderer;
pub use renderer::Renderer;
