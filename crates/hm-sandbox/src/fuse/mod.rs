//! Overlays of fuse-overlayfs(1), for users to whom the kernel gives none of its own.
//!
//! See `docs/design/sandbox.md`.

mod entries;
mod served;
mod server;
mod settle;
mod trial;

pub(crate) use served::Served;
pub(crate) use trial::choose;
