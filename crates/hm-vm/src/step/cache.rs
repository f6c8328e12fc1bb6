//! Where results of steps are kept.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use hm_store::{CacheEntry, CacheError, CacheKey, NewCacheEntry, Store};
use jiff::Timestamp;

/// Keeps results of steps by key.
#[async_trait]
pub trait StepCache: Send + Sync + Debug {
    /// The entry, where there is one that can be trusted. Costs microseconds.
    fn lookup(&self, key: &CacheKey) -> Result<Option<CacheEntry>, CacheError>;

    /// Makes an entry; its snapshot stays from now on.
    fn commit(&self, entry: &NewCacheEntry<'_>) -> Result<(), CacheError>;

    /// Waits until nobody else holds the key. A future that is dropped waits no more.
    async fn lock(&self, key: &CacheKey) -> Result<CacheGuard, CacheError>;
}

/// Holds a key until it is dropped.
pub struct CacheGuard(#[expect(dead_code, reason = "held for what its drop does")] Box<dyn Any + Send + Sync>);

impl CacheGuard {
    /// For caches: dropping `held` gives the key free.
    pub fn new<T: Any + Send + Sync>(held: T) -> Self {
        Self(Box::new(held))
    }
}

impl Debug for CacheGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheGuard").finish_non_exhaustive()
    }
}

#[async_trait]
impl StepCache for Store {
    fn lookup(&self, key: &CacheKey) -> Result<Option<CacheEntry>, CacheError> {
        self.cache().lookup(key)
    }

    fn commit(&self, entry: &NewCacheEntry<'_>) -> Result<(), CacheError> {
        self.cache().commit(entry)
    }

    async fn lock(&self, key: &CacheKey) -> Result<CacheGuard, CacheError> {
        Ok(CacheGuard::new(self.cache().lock(key).await?))
    }
}

/// Keeps results as long as it lives; for machines in memory. Clones are the same cache.
#[derive(Clone, Debug, Default)]
pub struct MemoryCache {
    shared: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    entries: HashMap<CacheKey, CacheEntry>,
    turns: HashMap<CacheKey, Arc<tokio::sync::Mutex<()>>>,
}

impl MemoryCache {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.with(|shared| shared.entries.len())
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T>(&self, act: impl FnOnce(&mut Entries) -> T) -> T {
        act(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl StepCache for MemoryCache {
    fn lookup(&self, key: &CacheKey) -> Result<Option<CacheEntry>, CacheError> {
        Ok(self.with(|shared| shared.entries.get(key).cloned()))
    }

    fn commit(&self, entry: &NewCacheEntry<'_>) -> Result<(), CacheError> {
        let NewCacheEntry {
            key,
            snapshot,
            state,
            log,
            duration,
            run_id,
            step_key,
            parts: _,
        } = entry;
        let made = CacheEntry {
            key: *key,
            snapshot: snapshot.clone(),
            state: *state,
            log: log.map(ToOwned::to_owned),
            duration: *duration,
            run_id: *run_id,
            step_key: step_key.clone(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        self.with(|shared| shared.entries.insert(*key, made));
        Ok(())
    }

    async fn lock(&self, key: &CacheKey) -> Result<CacheGuard, CacheError> {
        let turn = self.with(|shared| Arc::clone(shared.turns.entry(*key).or_default()));
        Ok(CacheGuard::new(turn.lock_owned().await))
    }
}
