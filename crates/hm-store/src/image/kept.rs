//! Layers as their registries store them, kept from the pull of an image until it is used.
//!
//! See `docs/design/registry.md`. A blob is under its name only when its digest was right and its bytes have reached the
//! disk. It is removed in a transaction of the index that says that no image needs it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Transaction;
use sha2::{Digest, Sha256};

use super::known::packed_layers;
use crate::error::{FileError, IndexError, StoreError};
use crate::files::remove_tree;
use crate::ids::{DigestAlgorithm, ImageDigest};
use crate::layout::Layout;
use crate::store::Store;

/// What no image names and nobody came back to for so long is removed.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(3 * 24);

impl Store {
    /// Whether the blob is kept in full length.
    pub(super) fn keeps_blob(&self, blob: &ImageDigest, size: u64) -> bool {
        is_kept(self.layout(), blob, size)
    }

    /// The blob, where it is kept and its bytes are right; a damaged one, and what is no file, is removed.
    pub(super) fn right_blob(&self, blob: &ImageDigest) -> Result<Option<File>, FileError> {
        let path = self.layout().kept_blob(blob);
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            remove_tree(&path)?;
            return Ok(None);
        }
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(FileError::at("open", &path))?,
        };
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        loop {
            match file.read_at(&mut buffer, at) {
                Ok(0) => break,
                Ok(got) => {
                    hasher.update(&buffer[..got]);
                    at += got as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::at("read", &path)(error)),
            }
        }
        if ImageDigest::new(DigestAlgorithm::Sha256, hasher.finalize().into()) == *blob {
            return Ok(Some(file));
        }
        remove_tree(&path)?;
        Ok(None)
    }

    /// Waits until the names of the blobs, and what the index says of them, have reached the disk.
    pub(super) fn sync_blobs(&self) -> Result<(), FileError> {
        let folder = self.layout().kept_blobs();
        let synced = File::open(&folder).and_then(|file| file.sync_all());
        synced.map_err(FileError::at("sync", &folder))?;
        self.index().sync()
    }

    /// Removes the blobs that have become of no use.
    pub(crate) fn release_blobs(&self) -> Result<(), StoreError> {
        let kept = kept_blobs(self.layout())?;
        if kept.is_empty() {
            return Ok(());
        }
        self.index().write(|change| {
            let useless = useless_blobs(change, kept, self.now(), &HashSet::new())?;
            Ok(remove_blobs(&useless)?)
        })
    }
}

/// All blobs that are kept.
pub(super) fn kept_blobs(layout: &Layout) -> Result<Vec<PathBuf>, FileError> {
    let folder = layout.kept_blobs();
    let entries = fs::read_dir(&folder).map_err(FileError::at("list", &folder))?;
    let paths = entries.map(|entry| Ok(entry.map_err(FileError::at("list", &folder))?.path()));
    paths.collect()
}

/// Those of the blobs that no image needs any more: its layers have reached the disk, or the blob is one of `given_up`,
/// or no image has named it for long.
pub(super) fn useless_blobs(
    change: &Transaction<'_>,
    mut kept: Vec<PathBuf>,
    now: Timestamp,
    given_up: &HashSet<ImageDigest>,
) -> Result<Vec<PathBuf>, IndexError> {
    let mut needed = HashMap::new();
    let mut ask = change.prepare("SELECT packed, unpacked AND durable = 1 FROM images WHERE packed IS NOT NULL")?;
    let rows = ask.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
    for row in rows {
        let (packed, is_settled) = row?;
        for layer in packed_layers(Some(&packed))? {
            *needed.entry(layer.blob.to_hex()).or_insert(false) |= !is_settled;
        }
    }
    let given_up: HashSet<String> = given_up.iter().map(ImageDigest::to_hex).collect();
    kept.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match needed.get(&*name) {
            Some(is_needed) => !is_needed,
            None => given_up.contains(&*name) || is_forgotten(path, now),
        }
    });
    Ok(kept)
}

/// Removes blobs; to be done in the transaction that found them useless.
pub(super) fn remove_blobs(blobs: &[PathBuf]) -> Result<(), FileError> {
    blobs.iter().try_for_each(|blob| remove_tree(blob))
}

/// Has images whose rows fit `condition` be packed where all their blobs are kept: these are surely on the disk, their
/// layers' folders are not.
pub(crate) fn fall_back_to_blobs(change: &Transaction<'_>, layout: &Layout, condition: &str) -> Result<(), IndexError> {
    let mut ask = change.prepare(&format!(
        "SELECT digest, packed FROM images WHERE packed IS NOT NULL AND {condition}"
    ))?;
    let rows: Vec<(String, String)> = ask.query_map([], |row| row.try_into())?.collect::<Result<_, _>>()?;
    for (digest, packed) in rows {
        let packed = packed_layers(Some(&packed))?;
        if packed.iter().all(|layer| is_kept(layout, &layer.blob, layer.size)) {
            change.execute(
                "UPDATE images SET unpacked = 0, durable = 1 WHERE digest = ?1",
                [digest],
            )?;
        }
    }
    Ok(())
}

fn is_kept(layout: &Layout, blob: &ImageDigest, size: u64) -> bool {
    fs::metadata(layout.kept_blob(blob)).is_ok_and(|found| found.is_file() && found.len() == size)
}

/// Whether the file was written long ago.
pub(super) fn is_forgotten(path: &Path, now: Timestamp) -> bool {
    let written = fs::metadata(path)
        .ok()
        .and_then(|data| Timestamp::from_second(data.mtime()).ok());
    written.is_some_and(|written| now.duration_since(written) > FORGOTTEN)
}
