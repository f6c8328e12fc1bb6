//! Work on files that the standard library has no call for.

mod copy;
mod measure;
mod open;
mod owners;
mod reaper;
mod remove;
mod xattr;

pub use owners::{Ids, Owners};
pub use remove::remove_tree;
pub use xattr::XattrNamespace;

pub(crate) use copy::{copy_content, next_data};
pub(crate) use measure::bytes_on_disk;
pub(crate) use open::{OPEN_FOLDER, open_readable};
pub(crate) use reaper::Reaper;
pub(crate) use remove::entries;
pub(crate) use xattr::{overlay_attribute, read_attributes};
