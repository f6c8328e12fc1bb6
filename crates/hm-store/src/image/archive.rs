//! Images in layouts and archives: found in the index where they are known, else read, checked and unpacked.

use std::fs;
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};
use rustix::fs::Mode;

use super::blobs::Blobs;
use super::choose::{Chosen, LayerSource, in_docker_archive, in_layout};
use super::compression::decompress;
use super::digest::{Hashing, sha256};
use super::error::UnpackError;
use super::resolve::find;
use super::tar_stream::TarError;
use super::unpack::{UnpackSettings, unpack};
use super::{ImageConfig, ImageError, ImageRef, LocalSource, Platform, ResolvedImage};
use crate::error::{FileError, IndexError};
use crate::files::{XattrNamespace, remove_tree};
use crate::ids::{ImageDigest, LayerId};
use crate::store::Store;

/// What an image may unpack to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageLimits {
    /// Bytes of one layer, uncompressed.
    pub layer_bytes: u64,
    /// Files, folders and so on of one layer.
    pub layer_entries: u64,
}

impl Default for ImageLimits {
    /// 64 GiB and ten million: far beyond real images, and less than what fills a disk unnoticed.
    fn default() -> Self {
        Self {
            layer_bytes: 64 << 30,
            layer_entries: 10_000_000,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    OciFolder,
    OciArchive,
    DockerArchive,
}

impl Store {
    pub(super) fn resolve_archive(
        &self,
        reference: &ImageRef,
        platform: &Platform,
        limits: &ImageLimits,
    ) -> Result<ResolvedImage, ImageError> {
        let (form, source) = match reference {
            ImageRef::Oci(source) => (Form::OciFolder, source),
            ImageRef::OciArchive(source) => (Form::OciArchive, source),
            ImageRef::DockerArchive(source) => (Form::DockerArchive, source),
            ImageRef::Host | ImageRef::Dir(_) | ImageRef::DockerDaemon(_) | ImageRef::Registry(_) => {
                return Err(ImageError::RegistryUnsupported {
                    reference: reference.to_string(),
                });
            }
        };
        let LocalSource { path, tag } = source;
        let path = find(path)?;
        // Every change of a layout ends with a new index.
        let changes = if form == Form::OciFolder {
            path.join("index.json")
        } else {
            path.clone()
        };
        let stat = stat_text(&changes, &path, form)?;
        let name = format!(
            "{form:?} {} {} {platform}",
            path.display(),
            tag.as_deref().unwrap_or("")
        );
        if let Some(known) = self.known_image(&name, &stat)? {
            return Ok(known);
        }

        let blobs = match form {
            Form::OciFolder => Blobs::Folder(path),
            Form::OciArchive | Form::DockerArchive => Blobs::of_archive(&path, &self.temporary(), limits.layer_bytes)?,
        };
        let tag = tag.as_deref();
        let chosen = match form {
            Form::OciFolder | Form::OciArchive => in_layout(&blobs, tag, platform)?,
            Form::DockerArchive => in_docker_archive(&blobs, tag, platform)?,
        };
        let (layers, anew) = self.unpack_layers(&blobs, &chosen, limits)?;
        let config = chosen.configuration.image_config();
        self.note_image((&name, &stat), &chosen.digest, &layers, &config, anew)?;
        Ok(self.resolved(chosen.digest, &layers, config))
    }

    /// The image that the reference stood for when its source was last read, if the source is the same since.
    fn known_image(&self, name: &str, stat: &str) -> Result<Option<ResolvedImage>, ImageError> {
        let ask = "SELECT images.digest, images.layers, images.config FROM image_sources
            JOIN images ON images.digest = image_sources.digest WHERE reference = ?1 AND stat = ?2";
        let row: Option<(String, String, String)> = self.index().read(|index| {
            let mut ask = index.prepare_cached(ask)?;
            let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            Ok::<_, IndexError>(ask.query_row([name, stat], columns).optional()?)
        })?;
        let Some((digest, layers, config)) = row else {
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
        Ok(image.layers.iter().all(|layer| layer.is_dir()).then_some(image))
    }

    fn note_image(
        &self,
        (name, stat): (&str, &str),
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
            change.execute(
                "INSERT OR REPLACE INTO image_sources (reference, stat, digest) VALUES (?1, ?2, ?3)",
                params![name, stat, digest.to_string()],
            )?;
            Ok::<_, IndexError>(())
        })?;
        Ok(())
    }

    fn resolved(&self, digest: ImageDigest, layers: &[LayerId], config: ImageConfig) -> ResolvedImage {
        let layers = layers.iter().map(|layer| self.layout().layer(layer)).collect();
        ResolvedImage {
            digest,
            layers,
            config,
            host: false,
        }
    }

    /// Unpacks the layers that aren't there yet, each on top of those before it; tells whether there were any.
    fn unpack_layers(
        &self,
        blobs: &Blobs,
        chosen: &Chosen,
        limits: &ImageLimits,
    ) -> Result<(Vec<LayerId>, bool), ImageError> {
        let mut anew = false;
        let mut layers: Vec<LayerId> = Vec::new();
        let mut chain: Option<ImageDigest> = None;
        for source in &chosen.layers {
            // A folder that a layer implies takes its mode from the layers below, so the name stands for the whole
            // stack up to here (OCI image specification, "Layer ChainID").
            let id = match chain {
                None => source.diff,
                Some(below) => sha256(format!("{below} {}", source.diff).as_bytes()),
            };
            chain = Some(id);
            let layer = LayerId::of_image(&id);
            let folder = self.layout().layer(&layer);
            if !folder.is_dir() {
                let below: Vec<PathBuf> = layers.iter().rev().map(|layer| self.layout().layer(layer)).collect();
                self.unpack_layer(blobs, source, &below, &folder, limits)?;
                anew = true;
            }
            layers.push(layer);
        }
        Ok((layers, anew))
    }

    fn unpack_layer(
        &self,
        blobs: &Blobs,
        source: &LayerSource,
        below: &[PathBuf],
        folder: &Path,
        limits: &ImageLimits,
    ) -> Result<(), ImageError> {
        let temporary = self.temporary();
        rustix::fs::mkdir(&temporary, Mode::RWXU).map_err(FileError::at("make", &temporary))?;
        let settings = UnpackSettings {
            xattrs: self.xattrs(),
            as_root: self.xattrs() == XattrNamespace::Trusted,
            max_entries: limits.layer_entries,
        };
        if let Err(error) = checked_unpack(blobs, source, &temporary, below, &settings, limits) {
            // The first error counts; what is left goes with the lease.
            remove_tree(&temporary).ok();
            return Err(error);
        }
        match fs::rename(&temporary, folder) {
            Ok(()) => Ok(()),
            // Another process was quicker.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Ok(remove_tree(&temporary)?)
            }
            Err(error) => Err(FileError::at("name", folder)(error).into()),
        }
    }
}

/// Unpacks a layer and checks that it is the one that the image names, before anyone sees it.
fn checked_unpack(
    blobs: &Blobs,
    source: &LayerSource,
    target: &Path,
    below: &[PathBuf],
    settings: &UnpackSettings,
    limits: &ImageLimits,
) -> Result<(), ImageError> {
    let LayerSource { name, stored, diff } = source;
    let shown = stored
        .as_ref()
        .map_or_else(|| name.clone(), |(digest, _)| digest.to_string());
    let path = || blobs.path().to_owned();
    let (file, size) = blobs.open(name)?.ok_or_else(|| ImageError::MissingBlob {
        path: path(),
        what: "layer",
        digest: shown.clone(),
    })?;
    if let Some((_, expected)) = stored.filter(|(_, expected)| *expected != size) {
        return Err(ImageError::SizeMismatch {
            path: path(),
            what: "layer",
            digest: shown,
            expected,
            found: size,
        });
    }

    let failed = |source: UnpackError| ImageError::Unpack {
        path: path(),
        digest: shown.clone(),
        source,
    };
    let unreadable = |source| failed(UnpackError::Tar(TarError::Read { at: 0, source }));
    let below: Vec<&Path> = below.iter().map(PathBuf::as_path).collect();
    let mut compressed = Hashing::new(file, u64::MAX);
    let found_diff = {
        let stream = decompress(BufReader::with_capacity(256 * 1024, &mut compressed)).map_err(unreadable)?;
        let mut plain = Hashing::new(stream, limits.layer_bytes);
        let unpacked = unpack(
            BufReader::with_capacity(256 * 1024, &mut plain),
            target,
            &below,
            settings,
        )
        .map(drop);
        // What follows the archive's end belongs to the digest.
        let drained = unpacked.and_then(|()| {
            plain
                .drain()
                .map_err(|source| UnpackError::Tar(TarError::Read { at: 0, source }))
        });
        if plain.is_over() {
            return Err(failed(UnpackError::Limit {
                what: "bytes",
                limit: limits.layer_bytes,
            }));
        }
        drained.map_err(failed)?;
        plain.finish().0
    };
    compressed.drain().map_err(unreadable)?;
    let (found, _) = compressed.finish();
    let mismatch = |expected: &ImageDigest, found: ImageDigest, what| {
        let (expected, found) = (expected.to_string(), found.to_string());
        Err(ImageError::DigestMismatch {
            path: path(),
            what,
            expected,
            found,
        })
    };
    match stored {
        Some((expected, _)) if *expected != found => mismatch(expected, found, "layer"),
        _ if *diff != found_diff => mismatch(diff, found_diff, "uncompressed layer"),
        _ => Ok(()),
    }
}

/// What of a file's `stat(2)` tells whether it changed.
fn stat_text(file: &Path, source: &Path, form: Form) -> Result<String, ImageError> {
    let wrong = || ImageError::WrongKind {
        path: source.to_owned(),
        expected: match form {
            Form::OciFolder => "an OCI image layout (it has no index.json)",
            Form::OciArchive => "an archive with an OCI image layout",
            Form::DockerArchive => "an archive of docker save",
        },
    };
    let data = match fs::metadata(file) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(wrong());
        }
        other => other.map_err(FileError::at("look at", file))?,
    };
    if !data.is_file() {
        return Err(wrong());
    }
    Ok(format!(
        "{} {}.{:09} {}.{:09} {} {}",
        data.size(),
        data.mtime(),
        data.mtime_nsec(),
        data.ctime(),
        data.ctime_nsec(),
        data.dev(),
        data.ino()
    ))
}
