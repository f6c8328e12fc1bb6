//! The pulled images of a store, and removing them.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::kept::{kept_blobs, remove_blobs, useless_blobs};
use super::known::packed_layers;
use super::registry::{PREFIX, PullRecord, remove_partials};
use super::{ImageError, RegistryRef};
use crate::error::{FileError, IndexError};
use crate::files::remove_tree;
use crate::ids::{ImageDigest, LayerId};
use crate::lease;
use crate::store::Store;

/// An image that was pulled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PulledImage {
    /// What it was pulled as, tags first.
    pub names: Vec<String>,
    /// The platform that it was pulled for.
    pub platform: String,
    /// Digest of its manifest.
    pub digest: ImageDigest,
    /// Number of its layers.
    pub layers: u32,
    /// Bytes of its layers, as the registry stores them.
    pub bytes: u64,
    /// When it was last pulled.
    pub pulled: Timestamp,
    /// All of it is in the store. `false`: files were taken away or cut, and it can't be had without its registry.
    pub is_whole: bool,
}

/// What became of an image that was to be removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemovedImage {
    /// Its digest.
    pub digest: ImageDigest,
    /// Why its layers are still there; `None` where they are gone.
    pub kept: Option<KeptBecause>,
}

/// Why layers stay. The name that was asked for goes only where there are others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeptBecause {
    /// It has other names.
    Names(Vec<String>),
    /// Results of so many cached steps stand on it.
    CachedSteps(u32),
    /// Another process uses the store, maybe this image.
    OtherProcesses,
}

/// A name in the index.
struct Row {
    reference: String,
    name: String,
    platform: String,
    digest: String,
    record: PullRecord,
    layers: u32,
}

impl Store {
    /// All images that were pulled, by name.
    ///
    /// # Errors
    /// An index that can't be read.
    pub fn pulled_images(&self) -> Result<Vec<PulledImage>, ImageError> {
        let mut images: BTreeMap<String, PulledImage> = BTreeMap::new();
        for row in self.rows()? {
            let digest = parse(&row.digest)?;
            let noted = self.noted_image(&row.reference)?;
            let is_whole = noted.is_some_and(|(_, image)| self.is_there(&image));
            let image = images.entry(row.digest).or_insert_with(|| PulledImage {
                names: Vec::new(),
                platform: row.platform,
                digest,
                layers: row.layers,
                bytes: row.record.bytes,
                pulled: row.record.pulled,
                is_whole,
            });
            image.pulled = image.pulled.max(row.record.pulled);
            image.names.push(row.name);
        }
        let mut images: Vec<PulledImage> = images.into_values().collect();
        for image in &mut images {
            image.names.sort_by_key(|name| (name.contains('@'), name.clone()));
        }
        images.sort_by(|one, other| one.names.cmp(&other.names));
        Ok(images)
    }

    /// Forgets the reference, for all platforms, and removes the layers that nothing else needs.
    ///
    /// # Errors
    /// [`ImageError::NotPulled`], an index or files that can't be changed.
    pub fn remove_image(&self, reference: &RegistryRef) -> Result<Vec<RemovedImage>, ImageError> {
        let name = reference.to_string();
        let rows = self.rows()?;
        let digests: HashSet<&str> = rows
            .iter()
            .filter(|row| row.name == name)
            .map(|row| row.digest.as_str())
            .collect();
        if digests.is_empty() {
            return Err(ImageError::NotPulled { reference: name });
        }
        // While it is locked no other process begins to use the store.
        let path = self.layout().lock();
        let lock = File::create(&path).map_err(FileError::at("make", &path))?;
        lock.lock().map_err(FileError::at("lock", &path))?;
        let alone = self.is_alone()?;
        let kept = kept_blobs(self.layout())?;
        let mut removed = Vec::new();
        let mut folders = Vec::new();
        for digest in digests {
            let others = |row: &&Row| row.digest == digest && row.name != name && !row.name.contains('@');
            let names: Vec<String> = rows.iter().filter(others).map(|row| row.name.clone()).collect();
            let gone = |row: &&Row| row.digest == digest && (names.is_empty() || row.name == name);
            let gone: Vec<&str> = rows.iter().filter(gone).map(|row| row.reference.as_str()).collect();
            let (why, layers) = self.index().write(|change| {
                if names.is_empty()
                    && let Some(needed) = why_needed(change, digest, alone)?
                {
                    return Ok((Some(needed), Vec::new()));
                }
                for reference in gone {
                    change.execute("DELETE FROM image_sources WHERE reference = ?1", [reference])?;
                }
                if !names.is_empty() {
                    return Ok((Some(KeptBecause::Names(names)), Vec::new()));
                }
                let (layers, blobs) = drop_image(change, digest)?;
                remove_blobs(&useless_blobs(change, kept.clone(), self.now(), &blobs)?)?;
                Ok::<_, ImageError>((None, layers))
            })?;
            folders.extend(layers.iter().map(|layer| self.layout().layer(layer)));
            removed.push(RemovedImage {
                digest: parse(digest)?,
                kept: why,
            });
        }
        self.remove_folders(folders)?;
        // Whoever removes images wants room.
        remove_partials(self.layout())?;
        Ok(removed)
    }

    /// Whether no other process has the store open.
    fn is_alone(&self) -> Result<bool, FileError> {
        let folder = self.layout().leases();
        for entry in fs::read_dir(&folder).map_err(FileError::at("list", &folder))? {
            let entry = entry.map_err(FileError::at("list", &folder))?;
            if entry.file_name() != self.lease().as_str() && !lease::is_dead(&entry.path())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sets them aside first: what is half removed must not look like a layer.
    fn remove_folders(&self, folders: Vec<PathBuf>) -> Result<(), FileError> {
        for folder in folders {
            let aside = self.temporary();
            if folder.is_dir() {
                fs::rename(&folder, &aside).map_err(FileError::at("set aside", &folder))?;
                remove_tree(&aside)?;
            }
        }
        Ok(())
    }

    fn rows(&self) -> Result<Vec<Row>, ImageError> {
        let ask = "SELECT reference, stat, image_sources.digest, json_array_length(images.layers) FROM image_sources
            JOIN images ON images.digest = image_sources.digest
            WHERE substr(reference, 1, length(?1)) = ?1 ORDER BY reference";
        let found: Vec<(String, String, String, u32)> = self.index().read(|index| {
            let mut ask = index.prepare_cached(ask)?;
            let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            Ok::<_, IndexError>(ask.query_map([PREFIX], columns)?.collect::<Result<_, _>>()?)
        })?;
        let mut rows = Vec::new();
        for (reference, stat, digest, layers) in found {
            let what = "record of a pull";
            let record = serde_json::from_str(&stat).map_err(|source| IndexError::BadJson { what, source })?;
            let Some((name, platform)) = reference.trim_start_matches(PREFIX).rsplit_once(' ') else {
                continue;
            };
            let (name, platform) = (name.to_owned(), platform.to_owned());
            rows.push(Row {
                reference,
                name,
                platform,
                digest,
                record,
                layers,
            });
        }
        Ok(rows)
    }
}

/// Who needs an image that will have no name.
fn why_needed(change: &Transaction<'_>, digest: &str, alone: bool) -> Result<Option<KeptBecause>, IndexError> {
    let ask = "SELECT count(*) FROM snapshots WHERE image = ?1";
    let steps: u32 = change.query_row(ask, [digest], |row| row.get(0))?;
    Ok(match steps {
        0 if alone => None,
        0 => Some(KeptBecause::OtherProcesses),
        steps => Some(KeptBecause::CachedSteps(steps)),
    })
}

/// Forgets an image; gives the layers that are then needed by none, and the blobs that it needs no more.
fn drop_image(change: &Transaction<'_>, digest: &str) -> Result<(Vec<LayerId>, HashSet<ImageDigest>), IndexError> {
    let bad = |source| IndexError::BadJson {
        what: "list of image layers",
        source,
    };
    let ask = "SELECT layers, packed FROM images WHERE digest = ?1";
    let (layers, packed): (String, Option<String>) = change.query_row(ask, [digest], |row| row.try_into())?;
    let packed = packed_layers(packed.as_deref())?;
    let mut layers: Vec<LayerId> = serde_json::from_str(&layers).map_err(bad)?;
    change.execute("DELETE FROM images WHERE digest = ?1", params![digest])?;
    let mut ask = change.prepare("SELECT layers FROM images")?;
    let others: Vec<String> = ask.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for other in others {
        let needed: Vec<LayerId> = serde_json::from_str(&other).map_err(bad)?;
        layers.retain(|layer| !needed.contains(layer));
    }
    Ok((layers, packed.iter().map(|layer| layer.blob).collect()))
}

fn parse(digest: &str) -> Result<ImageDigest, IndexError> {
    digest.parse().map_err(|source| IndexError::BadId {
        what: "image digest",
        source,
    })
}
