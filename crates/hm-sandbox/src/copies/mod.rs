//! Roots that are copies of their layers, for where the kernel mounts no overlays.
//!
//! See `docs/design/sandbox.md`.

mod attributes;
mod entries;
mod fill;
mod links;
mod place;
mod record;
mod stack;
mod trial;

pub(crate) use place::{attach_root, record};
pub(crate) use trial::choose;
