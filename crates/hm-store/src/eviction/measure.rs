//! What layers take on disk.

use rusqlite::params;

use crate::error::{IndexError, StoreError};
use crate::files::bytes_on_disk;
use crate::store::Store;

impl Store {
    /// Notes what the layers take that are new in the index. A layer never changes, so each is looked at
    /// once, with the one that it was merged into.
    pub(super) fn measure_layers(&self) -> Result<(), StoreError> {
        let ask = "SELECT id, flat FROM snapshots WHERE id NOT IN (SELECT layer FROM layer_sizes)";
        let new: Vec<(String, Option<String>)> = self.index().read::<_, IndexError>(|index| {
            let mut ask = index.prepare(ask)?;
            let names = ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(names.collect::<Result<_, _>>()?)
        })?;
        let layers = self.layout().layers();
        let bytes = |name: &String| bytes_on_disk(&layers.join(name));
        let measured = new
            .iter()
            .map(|(name, flat)| (name, bytes(name) + flat.as_ref().map_or(0, bytes)));
        let measured: Vec<(&String, u64)> = measured.collect();
        self.index().write(|change| {
            change.execute(
                "DELETE FROM layer_sizes WHERE layer NOT IN (SELECT id FROM snapshots)",
                [],
            )?;
            let mut note = change.prepare("INSERT OR REPLACE INTO layer_sizes (layer, bytes) VALUES (?1, ?2)")?;
            for (layer, bytes) in measured {
                note.execute(params![layer, i64::try_from(bytes).unwrap_or(i64::MAX)])?;
            }
            Ok(())
        })
    }
}
