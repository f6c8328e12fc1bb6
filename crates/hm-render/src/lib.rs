//! Draws events: each renderer is a fold of a build's events to bytes.

mod human;
mod json;
mod renderer;
mod visible;

pub use human::{HumanRenderer, HumanSettings};
pub use json::JsonRenderer;
pub use renderer::Renderer;
pub use visible::{is_hidden, visible};
