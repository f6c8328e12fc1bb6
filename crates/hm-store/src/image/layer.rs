//! One layer, from its bytes to a folder of the store.

use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use super::blobs::Blobs;
use super::choose::LayerSource;
use super::compression::decompress;
use super::digest::Hashing;
use super::error::UnpackError;
use super::folder_end::UnfinishedFolders;
use super::read_ahead::{Ahead, ahead_and_behind};
use super::tar_stream::TarError;
use super::unpack::{UnpackSettings, unpack};
use super::{ImageError, ImageLimits};
use crate::error::FileError;
use crate::files::remove_tree;
use crate::ids::ImageDigest;
use crate::store::Store;

/// A layer that is unpacked and checked, and that nobody sees yet. What is dropped is removed.
pub(super) struct UnpackedLayer {
    temporary: Temporary,
    folders: UnfinishedFolders,
    /// For messages.
    origin: PathBuf,
    digest: String,
}

/// A folder of the lease.
struct Temporary(PathBuf);

impl UnpackedLayer {
    /// Unpacks a layer, and checks that it is the one that the image names.
    pub(super) fn make(
        store: &Store,
        blobs: &Blobs,
        source: &LayerSource,
        limits: &ImageLimits,
    ) -> Result<Self, ImageError> {
        let temporary = store.temporary();
        rustix::fs::mkdir(&temporary, Mode::RWXU).map_err(FileError::at("make", &temporary))?;
        let temporary = Temporary(temporary);
        let settings = UnpackSettings {
            xattrs: store.xattrs(),
            owners: store.owners(),
            max_entries: limits.layer_entries,
        };
        let folders = checked_unpack(blobs, source, &temporary.0, &settings, limits)?;
        Ok(Self {
            temporary,
            folders,
            origin: blobs.path().to_owned(),
            digest: shown(source),
        })
    }

    /// Makes it visible as `folder`, on top of the layers `below` (the uppermost first), which are there.
    pub(super) fn place(self, below: &[PathBuf], folder: &Path) -> Result<(), ImageError> {
        let Self {
            temporary,
            folders,
            origin,
            digest,
        } = self;
        let below: Vec<&Path> = below.iter().map(PathBuf::as_path).collect();
        folders.finish(&below).map_err(|source| ImageError::Unpack {
            path: origin,
            digest,
            source,
        })?;
        if fs::symlink_metadata(folder).is_ok_and(|there| !there.is_dir()) {
            // It is no layer, and a folder can't replace it.
            remove_tree(folder)?;
        }
        match fs::rename(&temporary.0, folder) {
            Ok(()) => {
                // There is nothing to be removed.
                std::mem::forget(temporary);
                Ok(())
            }
            // Another process was quicker.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(FileError::at("name", folder)(error).into()),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left goes with the lease.
        remove_tree(&self.0).ok();
    }
}

/// The layer for messages.
fn shown(source: &LayerSource) -> String {
    match &source.stored {
        Some((digest, _)) => digest.to_string(),
        None => source.name.clone(),
    }
}

fn checked_unpack(
    blobs: &Blobs,
    source: &LayerSource,
    target: &Path,
    settings: &UnpackSettings,
    limits: &ImageLimits,
) -> Result<UnfinishedFolders, ImageError> {
    let LayerSource { name, stored, diff } = source;
    let path = || blobs.path().to_owned();
    let (file, size) = blobs.open(name)?.ok_or_else(|| ImageError::MissingBlob {
        path: path(),
        what: "layer",
        digest: shown(source),
    })?;
    if let Some((_, expected)) = stored.filter(|(_, expected)| *expected != size) {
        return Err(ImageError::SizeMismatch {
            path: path(),
            what: "layer",
            digest: shown(source),
            expected,
            found: size,
        });
    }

    let failed = |error: UnpackError| ImageError::Unpack {
        path: path(),
        digest: shown(source),
        source: error,
    };
    let unreadable = |source| failed(UnpackError::Tar(TarError::Read { at: 0, source }));
    // A layer that is stored as it is has one digest.
    let is_checked = blobs.are_checked() || stored.is_none_or(|(expected, _)| expected == *diff);
    let compressed = if is_checked {
        Hashing::only_counting(file, u64::MAX)
    } else {
        Hashing::new(file, u64::MAX)
    };
    let (ahead, behind) = ahead_and_behind();
    let (folders, found_diff, found) = std::thread::scope(|scope| {
        let decompressing = std::thread::Builder::new()
            .spawn_scoped(scope, move || decompress_ahead(compressed, ahead))
            .map_err(unreadable)?;
        let mut plain = Hashing::new(behind, limits.layer_bytes);
        let unpacked = unpack(&mut plain, target, settings);
        // What follows the archive's end belongs to the digest.
        let drained = unpacked.and_then(|folders| {
            plain
                .drain()
                .map_err(|source| UnpackError::Tar(TarError::Read { at: 0, source }))?;
            Ok(folders)
        });
        if plain.is_over() {
            return Err(failed(UnpackError::Limit {
                what: "bytes",
                limit: limits.layer_bytes,
            }));
        }
        let folders = drained.map_err(failed)?;
        let found_diff = plain.finish();
        let compressed = decompressing
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that decompresses panicked")));
        Ok((folders, found_diff, compressed.map_err(unreadable)?))
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
    wrong_file.or_else(wrong_layer).map_or(Ok(folders), Err)
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
