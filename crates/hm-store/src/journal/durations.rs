//! How long steps took in earlier builds of the same folder.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::params;

use crate::error::IndexError;
use crate::store::Store;

impl Store {
    /// How long each step of the builds of `source_root` took last, by its key.
    ///
    /// # Errors
    /// The index failed.
    pub fn durations(&self, source_root: &Path) -> Result<HashMap<String, Duration>, IndexError> {
        self.index().read(|index| {
            let mut ask = index.prepare_cached("SELECT step_key, ms FROM durations WHERE root = ?1")?;
            let duration = |ms: i64| Duration::from_millis(ms.unsigned_abs());
            let rows = ask.query_map([source_root.to_string_lossy()], |row| {
                Ok((row.get(0)?, duration(row.get(1)?)))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Notes how long steps took, in one transaction: once, when the build has ended.
    ///
    /// # Errors
    /// The index failed.
    pub fn record_durations<'a>(
        &self,
        source_root: &Path,
        durations: impl IntoIterator<Item = (&'a str, Duration)>,
    ) -> Result<(), IndexError> {
        let root = source_root.to_string_lossy();
        self.index().write(|change| {
            let mut note =
                change.prepare_cached("INSERT OR REPLACE INTO durations (root, step_key, ms) VALUES (?1, ?2, ?3)")?;
            for (step_key, duration) in durations {
                note.execute(params![
                    root,
                    step_key,
                    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
                ])?;
            }
            Ok(())
        })
    }
}
