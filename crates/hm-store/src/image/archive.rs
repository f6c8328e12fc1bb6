//! Images in layouts and archives: found in the index where they are known, else read, checked and unpacked.

use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use super::blobs::Blobs;
use super::choose::{Chosen, LayerSource, in_docker_archive, in_layout};
use super::compression::decompress;
use super::digest::Hashing;
use super::error::UnpackError;
use super::read_ahead::{Ahead, ahead_and_behind};
use super::resolve::find;
use super::tar_stream::TarError;
use super::unpack::{UnpackSettings, unpack};
use super::{ImageError, ImageRef, LocalSource, Platform, ResolvedImage};
use crate::error::FileError;
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
        self.note_image(&[&name], &stat, &chosen.digest, &layers, &config, anew)?;
        Ok(self.resolved(chosen.digest, &layers, config))
    }

    /// Unpacks the layers that aren't there yet, each on top of those before it; tells whether there were any.
    fn unpack_layers(
        &self,
        blobs: &Blobs,
        chosen: &Chosen,
        limits: &ImageLimits,
    ) -> Result<(Vec<LayerId>, bool), ImageError> {
        let mut anew = false;
        let layers = chosen.layer_ids();
        for (number, (source, layer)) in chosen.layers.iter().zip(&layers).enumerate() {
            let folder = self.layout().layer(layer);
            if !folder.is_dir() {
                self.unpack_layer(blobs, source, &layers[..number], &folder, limits)?;
                anew = true;
            }
        }
        Ok((layers, anew))
    }

    /// Unpacks one layer to its folder, on top of those in `below` (the bottom first).
    pub(super) fn unpack_layer(
        &self,
        blobs: &Blobs,
        source: &LayerSource,
        below: &[LayerId],
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
        let below: Vec<PathBuf> = below.iter().rev().map(|layer| self.layout().layer(layer)).collect();
        if let Err(error) = checked_unpack(blobs, source, &temporary, &below, &settings, limits) {
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
    // A layer that is stored as it is has one digest.
    let is_checked = blobs.are_checked() || stored.is_none_or(|(expected, _)| expected == *diff);
    let compressed = if is_checked {
        Hashing::only_counting(file, u64::MAX)
    } else {
        Hashing::new(file, u64::MAX)
    };
    let (ahead, behind) = ahead_and_behind();
    let (found_diff, found) = std::thread::scope(|scope| {
        let decompressing = scope.spawn(move || decompress_ahead(compressed, ahead));
        let mut plain = Hashing::new(behind, limits.layer_bytes);
        let unpacked = unpack(&mut plain, target, &below, settings).map(drop);
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
        let found_diff = plain.finish();
        let compressed = decompressing
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that decompresses panicked")));
        Ok((found_diff, compressed.map_err(unreadable)?))
    })?;
    let wrong = |expected: &ImageDigest, found: Option<ImageDigest>, what| {
        let found = found.filter(|found| found != expected)?;
        let (expected, found) = (expected.to_string(), found.to_string());
        Some(ImageError::DigestMismatch {
            path: path(),
            what,
            expected,
            found,
        })
    };
    let wrong_file = stored.and_then(|(expected, _)| wrong(&expected, found, "layer"));
    let what = if stored.is_some_and(|(expected, _)| expected == *diff) {
        "layer"
    } else {
        "uncompressed layer"
    };
    let wrong_layer = || wrong(diff, found_diff, what);
    wrong_file.or_else(wrong_layer).map_or(Ok(()), Err)
}

/// Hands on what the file decompresses to; gives the file's digest.
fn decompress_ahead(mut file: Hashing<impl Read>, ahead: Ahead) -> io::Result<Option<ImageDigest>> {
    match decompress(BufReader::with_capacity(256 * 1024, &mut file)) {
        Ok(stream) => ahead.read_all(stream),
        Err(error) => ahead.fail(error),
    }
    file.drain()?;
    Ok(file.finish())
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
