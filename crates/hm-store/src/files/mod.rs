//! Work on files that the standard library has no call for.

mod reaper;
mod remove;
mod xattr;

pub use remove::remove_tree;
pub use xattr::XattrNamespace;

pub(crate) use reaper::Reaper;
pub(crate) use remove::entries;
pub(crate) use xattr::{overlay_attribute, read_attributes};
