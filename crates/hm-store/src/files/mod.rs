//! Work on files that the standard library has no call for.

mod remove;
mod xattr;

pub use remove::remove_tree;
pub use xattr::XattrNamespace;

pub(crate) use remove::entries;
pub(crate) use xattr::{overlay_attribute, read_attributes};
