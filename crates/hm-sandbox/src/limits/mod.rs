//! What a step may use at most. The design is told in `docs/design/limits.md`.

mod controller;
mod count;
mod fallback;
mod files;
mod group;
mod hierarchies;
mod lease;
mod places;
mod systemd;

pub(crate) use fallback::Fallback;
pub(crate) use group::Group;
pub(crate) use places::Places;

use crate::request::LimitMeans;

/// What enforces the limits of steps that launchers of this process start. It looks at this process's control groups and
/// changes nothing.
pub fn limit_means() -> LimitMeans {
    Places::find().means(!rustix::process::geteuid().is_root())
}
