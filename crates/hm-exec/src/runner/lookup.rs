//! What a runner's cache says about a step.

use std::path::PathBuf;

use hm_plugin_protocol::SnapshotRef;

use super::keepsake::Keepsake;

/// What a runner's cache says about a step.
#[derive(Debug)]
pub enum Lookup {
    /// An earlier result is used and the step isn't run.
    Hit {
        /// The cache key it stands under.
        tag: String,
        /// The file system that the step left. Must be there where [`super::Keep::snapshot`] asks for one.
        snapshot: Option<SnapshotRef>,
        /// The log of the run that made it.
        log: Option<PathBuf>,
        /// What the runner wants to know when a step boots from this one.
        keepsake: Option<Keepsake>,
    },
    /// The step is run, and a good result kept under `tag`.
    MissBuildAs {
        /// The cache key to keep it under.
        tag: String,
        /// What the runner holds until the step has run, such as the lock of the key; given back to it with
        /// [`super::StepContext::take_held`], or dropped where the step is never run.
        held: Option<Keepsake>,
    },
    /// The step is run, and its result not kept.
    MissNoCommit,
}
