//! What the cache key of a step is made of, and how.

mod encode;
mod input;
mod parts;

pub use input::{BootsFrom, EnvKey, KeyInput, PolicyMaterial};
