//! Making what was done survive a loss of power, away from the hot path.

use std::fs::File;
use std::time::Duration;

use rusqlite::params;

use crate::error::{FileError, IndexError, StoreError};
use crate::index::{DURABLE_TABLES, checkpoint};
use crate::store::Store;

/// From the making of a cache entry until the kernel has written most of it by itself (`vm.dirty_expire_centisecs` is 30 s
/// where nobody changed it), so that waiting for the rest is cheap.
const SETTLED: Duration = Duration::from_mins(1);

impl Store {
    /// As [`Store::make_durable`], but only where a cache entry of this boot has waited for it for a minute. Costs one
    /// look into the index otherwise. Returns whether it was due.
    ///
    /// # Errors
    /// Those of [`Store::make_durable`].
    pub fn make_durable_when_due(&self) -> Result<bool, StoreError> {
        let due = self.is_durability_due()?;
        if due {
            self.make_durable()?;
        }
        Ok(due)
    }

    fn is_durability_due(&self) -> Result<bool, IndexError> {
        let settled_ms = i64::try_from(SETTLED.as_millis()).unwrap_or(i64::MAX);
        let before = self.now().as_millisecond().saturating_sub(settled_ms);
        self.index().read(|connection| {
            let mut waits = connection
                .prepare_cached("SELECT 1 FROM cache WHERE boot = ?1 AND durable <> 1 AND created_ms < ?2 LIMIT 1")?;
            Ok(waits.exists(params![self.boot_id(), before])?)
        })
    }

    /// Waits until all that the index names at this moment has reached the disk (`syncfs(2)`), and notes that in the
    /// index. It may take long where much was written, by anyone; never call it while a step waits for it.
    ///
    /// # Errors
    /// The disk or the index failed; nothing is then noted.
    pub fn make_durable(&self) -> Result<(), StoreError> {
        // One at a time: a second caller must not take the first one's marks for synced.
        let path = self.layout().sync_lock();
        let turn = File::create(&path).map_err(FileError::at("make", &path))?;
        turn.lock().map_err(FileError::at("lock", &path))?;
        let connection = self.index().second_connection()?;
        let mark = |from: &str, to: u8| -> Result<(), IndexError> {
            let transaction = connection.unchecked_transaction()?;
            for table in DURABLE_TABLES {
                transaction.execute(&format!("UPDATE {table} SET durable = {to} WHERE {from}"), [])?;
            }
            Ok(transaction.commit()?)
        };
        mark(&format!("durable = 0 AND boot = '{}'", self.boot_id()), 2)?;
        let root = self.layout().root();
        let folder = File::open(root).map_err(FileError::at("open", root))?;
        rustix::fs::syncfs(&folder).map_err(FileError::at("sync", root))?;
        checkpoint(&connection, "TRUNCATE")?;
        // The first write to the emptied log syncs its header: here, and not in a step's commit.
        mark("durable = 2", 1)?;
        self.release_blobs()
    }
}
