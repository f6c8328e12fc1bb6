//! Which users exist besides the caller (`user_namespaces(7)`, `subuid(5)`).

mod ranges;
mod take;

pub(crate) use take::of_process;
pub use take::{subordinate_ids, take_subordinate_ids};
