//! What the index knows of images: by which names they were asked for, what they consist of.

use std::path::PathBuf;

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{ImageConfig, ImageError, ResolvedImage};
use crate::error::IndexError;
use crate::ids::{ImageDigest, LayerId};
use crate::store::Store;

/// An image as the index has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NotedImage {
    pub(super) digest: ImageDigest,
    /// The bottom first.
    pub(super) layers: Vec<LayerId>,
    pub(super) config: ImageConfig,
    /// The same layers as a registry stores them; empty where the image is of none.
    pub(super) packed: Vec<PackedLayer>,
    /// Its layers' folders are as sure as the row. Where this is not set they may be there all the same.
    pub(super) unpacked: bool,
}

/// A layer as its registry stores it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct PackedLayer {
    /// Digest of the file.
    pub(super) blob: ImageDigest,
    /// Its length in bytes.
    pub(super) size: u64,
    /// Digest of what it decompresses to.
    pub(super) diff: ImageDigest,
}

/// How an image's layers got into the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// They were there.
    Before,
    /// Some were unpacked just now, and are as sure as this boot.
    Unpacked,
    /// Some are kept as blobs, which have reached the disk.
    Packed,
}

impl Store {
    /// The image that the reference stood for when its source was last read, if the source is the same since.
    pub(super) fn known_image(&self, name: &str, stat: &str) -> Result<Option<ResolvedImage>, ImageError> {
        let noted = self.noted_image(name)?;
        let same = noted.filter(|(noted_stat, image)| noted_stat == stat && self.is_unpacked(image));
        Ok(same.map(|(_, image)| self.resolved(&image)))
    }

    /// What is noted of the source, and the image that the reference stood for then.
    pub(super) fn noted_image(&self, name: &str) -> Result<Option<(String, NotedImage)>, ImageError> {
        type Row = (String, String, String, String, Option<String>, bool);
        let ask =
            "SELECT image_sources.stat, images.digest, images.layers, images.config, images.packed, images.unpacked
            FROM image_sources JOIN images ON images.digest = image_sources.digest WHERE reference = ?1";
        let row: Option<Row> = self.index().read(|index| {
            let mut ask = index.prepare_cached(ask)?;
            let columns = |row: &rusqlite::Row<'_>| row.try_into();
            Ok::<_, IndexError>(ask.query_row([name], columns).optional()?)
        })?;
        let Some((stat, digest, layers, config, packed, unpacked)) = row else {
            return Ok(None);
        };
        let digest = digest.parse().map_err(|source| IndexError::BadId {
            what: "image digest",
            source,
        })?;
        let bad = |what| move |source| IndexError::BadJson { what, source };
        let layers = serde_json::from_str(&layers).map_err(bad("list of image layers"))?;
        let config = serde_json::from_str(&config).map_err(bad("image configuration"))?;
        let image = NotedImage {
            digest,
            layers,
            config,
            packed: packed_layers(packed.as_deref())?,
            unpacked,
        };
        Ok(Some((stat, image)))
    }

    /// Notes what the references stand for. `false`, and nothing is noted, where a blob that the image needs went in the
    /// meantime.
    pub(super) fn note_image(
        &self,
        names: &[&str],
        stat: &str,
        image: &NotedImage,
        came: Came,
    ) -> Result<bool, ImageError> {
        let bad = |what| move |source| IndexError::BadJson { what, source };
        let layers = serde_json::to_string(&image.layers).map_err(bad("list of image layers"))?;
        let config = serde_json::to_string(&image.config).map_err(bad("image configuration"))?;
        let packed = (!image.packed.is_empty()).then(|| serde_json::to_string(&image.packed));
        let packed = packed.transpose().map_err(bad("list of packed layers"))?;
        let is_noted = self.index().write(|change| {
            // Blobs are removed in such a transaction only.
            if came == Came::Packed && !self.is_there(image) {
                return Ok(false);
            }
            change.execute(
                "INSERT INTO images (digest, layers, config, packed, unpacked, boot, durable)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (digest) DO UPDATE SET packed = coalesce(excluded.packed, packed)",
                params![
                    image.digest.to_string(),
                    layers,
                    config,
                    packed,
                    came != Came::Packed,
                    self.boot_id(),
                    came == Came::Packed
                ],
            )?;
            if came != Came::Before {
                change.execute(
                    "UPDATE images SET boot = ?2, unpacked = ?3, durable = NOT ?3 WHERE digest = ?1",
                    params![image.digest.to_string(), self.boot_id(), came == Came::Unpacked],
                )?;
            }
            for name in names {
                change.execute(
                    "INSERT OR REPLACE INTO image_sources (reference, stat, digest) VALUES (?1, ?2, ?3)",
                    params![name, stat, image.digest.to_string()],
                )?;
            }
            Ok::<_, IndexError>(true)
        })?;
        Ok(is_noted)
    }

    /// Notes that the layers of an image that was kept packed are unpacked: they are as sure as this boot.
    pub(super) fn note_unpacked(&self, image: &NotedImage) -> Result<(), IndexError> {
        let change = "UPDATE images SET boot = ?2, unpacked = 1, durable = 0 WHERE digest = ?1 AND NOT unpacked";
        let digest = image.digest.to_string();
        self.index().write(|index| {
            index.execute(change, params![digest, self.boot_id()])?;
            Ok(())
        })
    }

    /// Whether all layers are unpacked.
    pub(super) fn is_unpacked(&self, image: &NotedImage) -> bool {
        image.layers.iter().all(|layer| self.layout().layer(layer).is_dir())
    }

    /// Whether the image can be had without its registry.
    pub(super) fn is_there(&self, image: &NotedImage) -> bool {
        let is_kept = |number: usize| {
            let packed = image.packed.get(number);
            packed.is_some_and(|packed| self.keeps_blob(&packed.blob, packed.size))
        };
        let mut layers = image.layers.iter().enumerate();
        layers.all(|(number, layer)| self.layout().layer(layer).is_dir() || is_kept(number))
    }

    pub(super) fn resolved(&self, image: &NotedImage) -> ResolvedImage {
        let folders = image.layers.iter().map(|layer| self.layout().layer(layer));
        let mut layers: Vec<PathBuf> = folders.collect();
        // The kernel does not look for the mark at a layer's root.
        let lowest = layers.iter().rposition(|layer| self.xattrs().is_opaque(layer));
        layers.drain(..lowest.unwrap_or(0));
        ResolvedImage {
            digest: image.digest,
            layers,
            config: image.config.clone(),
            host: false,
        }
    }
}

/// The column `packed`.
pub(super) fn packed_layers(text: Option<&str>) -> Result<Vec<PackedLayer>, IndexError> {
    let bad = |source| IndexError::BadJson {
        what: "list of packed layers",
        source,
    };
    text.map_or(Ok(Vec::new()), |text| serde_json::from_str(text).map_err(bad))
}
