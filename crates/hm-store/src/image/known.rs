//! What the index knows of images: by which names they were asked for, what they consist of.

use rusqlite::{OptionalExtension, params};

use super::{ImageConfig, ImageError, ResolvedImage};
use crate::error::IndexError;
use crate::ids::{ImageDigest, LayerId};
use crate::store::Store;

impl Store {
    /// The image that the reference stood for when its source was last read, if the source is the same since.
    pub(super) fn known_image(&self, name: &str, stat: &str) -> Result<Option<ResolvedImage>, ImageError> {
        let noted = self.noted_image(name)?;
        Ok(noted.and_then(|(noted_stat, image)| (noted_stat == stat).then_some(image)))
    }

    /// What is noted of the source, and the image that the reference stood for then, if all of it is there.
    pub(super) fn noted_image(&self, name: &str) -> Result<Option<(String, ResolvedImage)>, ImageError> {
        let ask = "SELECT image_sources.stat, images.digest, images.layers, images.config FROM image_sources
            JOIN images ON images.digest = image_sources.digest WHERE reference = ?1";
        let row: Option<(String, String, String, String)> = self.index().read(|index| {
            let mut ask = index.prepare_cached(ask)?;
            let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            Ok::<_, IndexError>(ask.query_row([name], columns).optional()?)
        })?;
        let Some((stat, digest, layers, config)) = row else {
            return Ok(None);
        };
        let digest = digest.parse().map_err(|source| IndexError::BadId {
            what: "image digest",
            source,
        })?;
        let bad = |what| move |source| IndexError::BadJson { what, source };
        let layers: Vec<LayerId> = serde_json::from_str(&layers).map_err(bad("list of image layers"))?;
        let config: ImageConfig = serde_json::from_str(&config).map_err(bad("image configuration"))?;
        let image = self.resolved(digest, &layers, config);
        Ok(image.layers.iter().all(|layer| layer.is_dir()).then_some((stat, image)))
    }

    /// Notes what the references stand for; `anew` where layers of it were unpacked just now.
    pub(super) fn note_image(
        &self,
        names: &[&str],
        stat: &str,
        digest: &ImageDigest,
        layers: &[LayerId],
        config: &ImageConfig,
        anew: bool,
    ) -> Result<(), ImageError> {
        let bad = |what| move |source| IndexError::BadJson { what, source };
        let layers = serde_json::to_string(layers).map_err(bad("list of image layers"))?;
        let config = serde_json::to_string(config).map_err(bad("image configuration"))?;
        self.index().write(|change| {
            // Layers that were unpacked just now are as sure as this boot.
            change.execute(
                "INSERT INTO images (digest, layers, config, boot) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (digest) DO UPDATE SET boot = excluded.boot, durable = 0 WHERE ?5",
                params![digest.to_string(), layers, config, self.boot_id(), anew],
            )?;
            for name in names {
                change.execute(
                    "INSERT OR REPLACE INTO image_sources (reference, stat, digest) VALUES (?1, ?2, ?3)",
                    params![name, stat, digest.to_string()],
                )?;
            }
            Ok::<_, IndexError>(())
        })?;
        Ok(())
    }

    pub(super) fn resolved(&self, digest: ImageDigest, layers: &[LayerId], config: ImageConfig) -> ResolvedImage {
        let layers = layers.iter().map(|layer| self.layout().layer(layer)).collect();
        ResolvedImage {
            digest,
            layers,
            config,
            host: false,
        }
    }
}
