//! Keeping the cache within a limit; see `docs/design/eviction.md`.

mod choose;
mod measure;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use rusqlite::{Connection, params};

use self::choose::{Chosen, Entry, Layer, choose};
use crate::cache::orphan_old;
use crate::error::{IndexError, StoreError};
use crate::store::Store;

/// What was evicted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Evicted {
    /// Number of cache entries.
    pub entries: usize,
    /// Bytes on disk of the layers that only they needed. They are free when the store is opened next with no other
    /// process at work.
    pub bytes: u64,
}

impl Store {
    /// Where the layers of cached steps take more than `max_bytes` on disk, evicts the entries that were not used for
    /// longest, until they take a tenth less. An evicted entry is a miss. Their files stay where processes may be using
    /// them: they go with the sweep of the next process that is alone.
    ///
    /// It reads the folders of layers that are new since it was last called, so it is for the end of a build.
    ///
    /// # Errors
    /// The index failed; nothing is then evicted.
    pub fn keep_within(&self, max_bytes: u64) -> Result<Evicted, StoreError> {
        // When entries were used by this lease counts, too.
        self.cache().close()?;
        self.measure_layers()?;
        self.index().write(|change| {
            let Chosen { keys, bytes } = choose(&layers(change)?, entries(change)?, max_bytes);
            for key in &keys {
                orphan_old(change, key)?;
                change.execute("DELETE FROM cache WHERE key = ?1", [key])?;
            }
            let entries = keys.len();
            Ok(Evicted { entries, bytes })
        })
    }
}

/// All layers of the index by their names.
fn layers(index: &Connection) -> Result<HashMap<String, Layer>, IndexError> {
    let mut ask = index.prepare(
        "SELECT id, parent, coalesce(bytes, 0) FROM snapshots LEFT JOIN layer_sizes ON layer_sizes.layer = id",
    )?;
    let rows = ask.query_map([], |row| {
        let parent = row.get(1)?;
        let bytes = row.get::<_, i64>(2)?.unsigned_abs();
        Ok((row.get(0)?, Layer { parent, bytes }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All entries that have a layer.
fn entries(index: &Connection) -> Result<Vec<Entry>, IndexError> {
    let mut ask = index.prepare("SELECT key, snapshot, last_used_ms FROM cache WHERE snapshot IS NOT NULL")?;
    let rows = ask.query_map(params![], |row| {
        Ok(Entry {
            last_used: row.get(2)?,
            key: row.get(0)?,
            layer: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
