//! Work on files that the standard library has no call for.

mod owners;
mod reaper;
mod remove;
mod xattr;

pub use owners::{Ids, Owners};
pub use remove::remove_tree;
pub use xattr::XattrNamespace;

pub(crate) use reaper::Reaper;
pub(crate) use remove::entries;
pub(crate) use xattr::{overlay_attribute, read_attributes};
