//! Bringing a folder of a machine from one tree to another.

mod folder;
mod ops;

pub(crate) use ops::apply;
