//! Making what was done survive a loss of power, away from the hot path.

use std::fs::File;

use crate::error::{FileError, IndexError, StoreError};
use crate::index::{DURABLE_TABLES, checkpoint};
use crate::store::Store;

impl Store {
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
        mark("durable = 2", 1).map_err(StoreError::from)
    }
}
