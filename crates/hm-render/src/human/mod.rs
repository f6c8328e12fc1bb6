//! A log for people, without drawing over what stands already.

mod duration;
mod paint;
mod plain;
mod summary;
mod tails;
mod text;
mod words;

pub use plain::{HumanRenderer, HumanSettings};
