//! Renderers from outside.

mod human;
mod json;
mod support;
