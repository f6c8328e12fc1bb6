//! Entries of the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hm_plugin_protocol::{RunId, SnapshotRef};
use jiff::Timestamp;
use serde_json::Value;

use crate::ids::{CacheKey, ContentHash};

/// What a step left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheEntry {
    /// What it depends on.
    pub key: CacheKey,
    /// The file system after the step, where one was kept.
    pub snapshot: Option<SnapshotRef>,
    /// The content hash of that snapshot, where it was worked out.
    pub state: Option<ContentHash>,
    /// Its log, for [`crate::Journal::replay_log`]; absent where it wrote nothing.
    pub log: Option<PathBuf>,
    /// How long the command took.
    pub duration: Duration,
    /// The build that made it.
    pub run_id: RunId,
    /// The step that made it.
    pub step_key: String,
    /// When it was made, to the millisecond.
    pub created_at: Timestamp,
}

/// An entry to be made, of a step with exit code 0.
#[derive(Clone, PartialEq, Debug)]
pub struct NewCacheEntry<'a> {
    /// What it depends on.
    pub key: CacheKey,
    /// The file system after the step; it becomes persistent with all that it stands on.
    pub snapshot: Option<SnapshotRef>,
    /// The content hash of that snapshot, where it is known.
    pub state: Option<ContentHash>,
    /// The step's log, complete; it gets a second name.
    pub log: Option<&'a Path>,
    /// How long the command took.
    pub duration: Duration,
    /// The build that made it.
    pub run_id: RunId,
    /// The step that made it.
    pub step_key: String,
    /// What went into the key, for people who ask why it hit or missed.
    pub parts: Value,
}
