//! What a build is asked to do.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hm_pipeline_ir::{Pipeline, StepKey};
use hm_plugin_protocol::RunId;
use tokio_util::sync::CancellationToken;

use crate::root_images::RootImages;

/// What a build is asked to do.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The build.
    pub run_id: RunId,
    /// What to run.
    pub pipeline: Arc<Pipeline>,
    /// The working tree that steps get a copy of.
    pub source_root: PathBuf,
    /// Name of the pipeline.
    pub slug: Option<String>,
    /// Variables for every step, over those of the pipeline.
    pub env: BTreeMap<String, String>,
    /// The environment of the caller; cache policies may name variables of it, steps don't see it.
    pub machine_env: BTreeMap<String, String>,
    /// How.
    pub options: RunOptions,
    /// Branch that the build is said to be of.
    pub branch: Option<String>,
    /// Message that the build carries.
    pub message: Option<String>,
    /// Ends the start of the build, which may take long where the working tree is large. It is not heard any more once the
    /// build has started: its [`super::Control`] stops it then.
    pub stop_starting: CancellationToken,
}

/// How a build is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How many steps may run at a time.
    pub parallelism: NonZeroUsize,
    /// How many steps may hold the lock of their key at a time, which is an open file each: while they are looked up in
    /// the cache, and from then until they start.
    pub open_lookups: NonZeroUsize,
    /// A failure leaves independent steps alone.
    pub keep_going: bool,
    /// No earlier result is used; good ones of this build take their place.
    pub no_cache: bool,
    /// Budget of the build, instead of the pipeline's.
    pub timeout: Option<Duration>,
    /// What root steps boot from.
    pub images: RootImages,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Only these steps and what they need.
    pub only: Option<Vec<StepKey>>,
}

impl RunOptions {
    /// Time between SIGTERM and SIGKILL where nobody says otherwise.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

    /// Steps that may hold the lock of their key where nobody says otherwise.
    pub const DEFAULT_OPEN_LOOKUPS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

    /// Fail-fast, with cache, all steps, the pipeline's own budget.
    pub fn new(parallelism: NonZeroUsize, default_image: impl Into<String>) -> Self {
        Self {
            parallelism,
            open_lookups: Self::DEFAULT_OPEN_LOOKUPS,
            keep_going: false,
            no_cache: false,
            timeout: None,
            images: RootImages {
                default: default_image.into(),
                forced: None,
            },
            grace: Self::DEFAULT_GRACE,
            only: None,
        }
    }
}
