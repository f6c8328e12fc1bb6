//! Why a step could not be looked up or run.

use hm_store::workspace::PatternError;
use hm_store::{CacheError, CacheKey};

use crate::machine::VmError;

/// Why a step could not be looked up or run. A command that fails is an outcome and not one of these.
#[derive(Debug, thiserror::Error)]
pub enum HmVmError {
    /// The machine's backend could not do its job.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The cache could not be asked or written.
    #[error("can't use the cache entry {key}")]
    Cache {
        /// The step's key.
        key: CacheKey,
        /// Why.
        #[source]
        source: Box<CacheError>,
    },
    /// A path of the step's cache policy is no path.
    #[error("the step's cache policy can't be used")]
    Policy {
        /// Why.
        #[source]
        source: PatternError,
    },
    /// A stop was asked for while an identical step was waited for.
    #[error("the step was told to stop before it ran")]
    Stopped,
}
