//! Looking entries up and making them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use hm_plugin_protocol::{RunId, SnapshotRef};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::Value;

use crate::cache::entry::{CacheEntry, NewCacheEntry};
use crate::cache::error::CacheError;
use crate::cache::key_lock::{self, KeyLock};
use crate::error::{FileError, IndexError};
use crate::ids::{CacheKey, LayerId};
use crate::snapshot::insert;
use crate::store::Store;

/// When entries were last used, in milliseconds since the epoch; written with the end of the lease.
pub(crate) type LastUsed = HashMap<CacheKey, i64>;

/// The cache of a store.
#[derive(Clone, Debug)]
pub struct Cache<'a> {
    store: &'a Store,
}

impl Store {
    /// The cache.
    pub fn cache(&self) -> Cache<'_> {
        Cache { store: self }
    }
}

impl Cache<'_> {
    /// The entry under `key`. There is none where its files are gone, and none where it was made in another boot of the
    /// machine and had not surely reached the disk.
    ///
    /// # Errors
    /// The index failed.
    pub fn lookup(&self, key: &CacheKey) -> Result<Option<CacheEntry>, CacheError> {
        let row = self.store.index().read::<_, IndexError>(|index| {
            let mut ask = index.prepare_cached(
                "SELECT snapshot, state, log, duration_ms, run_id, step_key, created_ms FROM cache
                 WHERE key = ?1 AND (durable = 1 OR boot = ?2)",
            )?;
            Ok(ask
                .query_row(params![key.to_hex(), self.store.boot_id()], raw_entry)
                .optional()?)
        })?;
        let Some(row) = row else { return Ok(None) };
        let Some(entry) = self.entry(key, row)? else {
            return Ok(None);
        };
        self.store.last_used().insert(*key, self.store.now().as_millisecond());
        Ok(Some(entry))
    }

    /// What went into the key of an entry.
    ///
    /// # Errors
    /// The index failed.
    pub fn parts(&self, key: &CacheKey) -> Result<Option<Value>, CacheError> {
        let text: Option<String> = self.store.index().read::<_, IndexError>(|index| {
            let mut ask = index.prepare_cached("SELECT parts FROM cache WHERE key = ?1")?;
            Ok(ask.query_row([key.to_hex()], |row| row.get(0)).optional()?)
        })?;
        let parse = |text: String| {
            serde_json::from_str(&text).map_err(|source| IndexError::BadJson {
                what: "parts record",
                source,
            })
        };
        Ok(text.map(parse).transpose()?)
    }

    /// Makes an entry, in one transaction; one that stood under the key is replaced. Nothing waits for the disk: see
    /// [`Store::make_durable`].
    ///
    /// # Errors
    /// The log can't get a second name, the snapshot isn't there, or the index failed; there is then no entry.
    pub fn commit(&self, new: &NewCacheEntry<'_>) -> Result<(), CacheError> {
        let key = new.key;
        let kept = |source| CacheError::Snapshot { key, source };
        let snapshots = self.store.snapshots();
        let unsaved = new
            .snapshot
            .as_ref()
            .map(|snapshot| snapshots.unsaved(snapshot))
            .transpose()
            .map_err(kept)?;
        let unsaved = unsaved.unwrap_or_default();
        let log = new.log.map(|log| self.keep_log(log)).transpose()?;
        let written = self.store.index().write::<_, IndexError>(|change| {
            orphan_old(change, &key.to_hex())?;
            for (id, node) in &unsaved {
                insert(change, self.store.layout().root(), self.store.boot_id(), id, node)?;
            }
            self.write_entry(change, new, log.as_deref())
        });
        if let (Err(_), Some(log)) = (&written, &log) {
            let path = self.store.layout().logs().join(log);
            fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        }
        written?;
        snapshots.saved(&unsaved);
        Ok(())
    }

    /// Waits until no one else, in this process or another, works on `key`. The lock ends when it is dropped, and with
    /// the process. To stop waiting drop the future.
    ///
    /// # Errors
    /// The lock file can't be made or locked.
    pub async fn lock(&self, key: &CacheKey) -> Result<KeyLock, CacheError> {
        Ok(key_lock::wait(self.store, key).await?)
    }

    /// The lock on `key`, where nobody has it.
    ///
    /// # Errors
    /// The lock file can't be made or locked.
    pub fn try_lock(&self, key: &CacheKey) -> Result<Option<KeyLock>, CacheError> {
        Ok(key_lock::attempt(self.store, key)?)
    }

    /// Writes when entries were last used.
    pub(crate) fn close(&self) -> Result<(), IndexError> {
        let used = std::mem::take(&mut *self.store.last_used());
        if used.is_empty() {
            return Ok(());
        }
        self.store.index().write(|change| {
            let mut update =
                change.prepare_cached("UPDATE cache SET last_used_ms = max(last_used_ms, ?2) WHERE key = ?1")?;
            for (key, at) in used {
                update.execute(params![key.to_hex(), at])?;
            }
            Ok(())
        })
    }

    fn entry(&self, key: &CacheKey, row: RawEntry) -> Result<Option<CacheEntry>, CacheError> {
        let layout = self.store.layout();
        let bad = |what| move |source| IndexError::BadId { what, source };
        let layer: Option<LayerId> = row
            .snapshot
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(bad("snapshot"))?;
        let log = row.log.map(|log| layout.logs().join(log));
        let layer_gone = layer.as_ref().is_some_and(|layer| !layout.layer(layer).exists());
        if layer_gone || log.as_ref().is_some_and(|log| !log.exists()) {
            return Ok(None);
        }
        let state = row.state.as_deref().map(str::parse).transpose().map_err(bad("state"))?;
        // Ids and times of an index that was damaged by hand: the entry is as good as absent.
        let (Ok(run_id), Ok(created_at)) = (row.run_id.parse(), Timestamp::from_millisecond(row.created_ms)) else {
            return Ok(None);
        };
        Ok(Some(CacheEntry {
            key: *key,
            snapshot: row.snapshot.map(SnapshotRef),
            state,
            log,
            duration: Duration::from_millis(row.duration_ms.unsigned_abs()),
            run_id: RunId(run_id),
            step_key: row.step_key,
            created_at,
        }))
    }

    /// Gives the log a name of this lease among the kept ones.
    fn keep_log(&self, log: &Path) -> Result<String, CacheError> {
        let name = format!("{}.log", self.store.new_layer());
        let kept = self.store.layout().logs().join(&name);
        match fs::hard_link(log, &kept) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::CrossesDevices | io::ErrorKind::TooManyLinks
                ) =>
            {
                fs::copy(log, &kept).map_err(FileError::at("copy", log))?;
            }
            other => other.map_err(FileError::at("link", log))?,
        }
        Ok(name)
    }

    fn write_entry(
        &self,
        change: &Transaction<'_>,
        new: &NewCacheEntry<'_>,
        log: Option<&str>,
    ) -> Result<(), IndexError> {
        let now = self.store.now().as_millisecond();
        change
            .prepare_cached(
                "INSERT OR REPLACE INTO cache (key, snapshot, state, log, duration_ms, run_id, step_key, parts,
                    created_ms, last_used_ms, boot) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)",
            )?
            .execute(params![
                new.key.to_hex(),
                new.snapshot.as_ref().map(|snapshot| &snapshot.0),
                new.state.map(|state| state.to_hex()),
                log,
                i64::try_from(new.duration.as_millis()).unwrap_or(i64::MAX),
                new.run_id.to_string(),
                new.step_key,
                new.parts.to_string(),
                now,
                self.store.boot_id(),
            ])?;
        Ok(())
    }
}

/// Notes the snapshot and log of the entry that is about to go, for a sweep while no one else may read them. `key` is in
/// hexadecimal digits.
pub(crate) fn orphan_old(change: &Transaction<'_>, key: &str) -> Result<(), IndexError> {
    for (kind, column) in [("snapshot", "snapshot"), ("log", "log")] {
        let note = format!(
            "INSERT OR IGNORE INTO orphans (kind, name)
             SELECT '{kind}', {column} FROM cache WHERE key = ?1 AND {column} IS NOT NULL"
        );
        change.prepare_cached(&note)?.execute([key])?;
    }
    Ok(())
}

#[derive(Debug)]
struct RawEntry {
    snapshot: Option<String>,
    state: Option<String>,
    log: Option<String>,
    duration_ms: i64,
    run_id: String,
    step_key: String,
    created_ms: i64,
}

fn raw_entry(row: &Row<'_>) -> Result<RawEntry, rusqlite::Error> {
    Ok(RawEntry {
        snapshot: row.get(0)?,
        state: row.get(1)?,
        log: row.get(2)?,
        duration_ms: row.get(3)?,
        run_id: row.get(4)?,
        step_key: row.get(5)?,
        created_ms: row.get(6)?,
    })
}
