//! The cache: what steps left under the key of what they depend on.

mod entry;
mod error;
mod key_lock;
mod registry;
#[cfg(test)]
mod tests;

pub use entry::{CacheEntry, NewCacheEntry};
pub use error::CacheError;
pub use key_lock::KeyLock;
pub use registry::Cache;

pub(crate) use key_lock::KeyTurns;
pub(crate) use registry::{LastUsed, orphan_old};
