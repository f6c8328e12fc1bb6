//! Work on files that the standard library has no call for.

mod remove;
mod xattr;

pub use remove::remove_tree;
pub use xattr::XattrNamespace;
