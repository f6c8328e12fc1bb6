//! The side of the program that uses the sandbox.

mod connection;
mod launcher;
mod running;
mod validate;

pub use launcher::Launcher;
pub use running::{Running, StepControl};
