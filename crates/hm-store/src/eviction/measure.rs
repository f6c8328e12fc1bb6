//! What layers take on disk.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::params;

use crate::error::{IndexError, StoreError};
use crate::store::Store;

/// Bytes of a block of `stat(2)`.
const BLOCK: u64 = 512;

impl Store {
    /// Notes what the layers take that are new in the index. A layer never changes, so each is looked at once.
    pub(super) fn measure_layers(&self) -> Result<(), StoreError> {
        let ask = "SELECT id FROM snapshots WHERE id NOT IN (SELECT layer FROM layer_sizes)";
        let new: Vec<String> = self.index().read::<_, IndexError>(|index| {
            let mut ask = index.prepare(ask)?;
            let names = ask.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(names)
        })?;
        let layers = self.layout().layers();
        let measured = new.iter().map(|name| (name, bytes_on_disk(&layers.join(name))));
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

/// Blocks of all files below, each file once. What can't be read (folders of subordinate ids) doesn't count.
fn bytes_on_disk(root: &Path) -> u64 {
    let mut bytes = 0;
    let mut linked = HashSet::new();
    let mut left: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(data) = fs::symlink_metadata(&path) else {
            continue;
        };
        if data.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            left.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        } else if data.nlink() > 1 && !linked.insert((data.dev(), data.ino())) {
            continue;
        }
        bytes += data.blocks() * BLOCK;
    }
    bytes
}
