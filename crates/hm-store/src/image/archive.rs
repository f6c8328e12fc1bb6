//! Images in layouts and archives: found in the index where they are known, else read, checked and unpacked.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::blobs::Blobs;
use super::choose::{Chosen, in_docker_archive, in_layout};
use super::known::{Came, NotedImage};
use super::layers::{AllThere, UnpackingLayers};
use super::resolve::find;
use super::{ImageError, ImageLimits, ImageRef, LocalSource, Platform, ResolvedImage};
use crate::error::FileError;
use crate::store::Store;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    OciFolder,
    OciArchive,
    DockerArchive,
}

impl Store {
    /// The image that a Docker engine calls `id`, where it was unpacked before.
    ///
    /// # Errors
    /// An index that can't be read.
    pub fn image_of_engine(&self, id: &str, platform: &Platform) -> Result<Option<ResolvedImage>, ImageError> {
        self.known_image(&name_of_engine(id, platform), id)
    }

    /// Unpacks the archive that a Docker engine saved of the image that it calls `id`.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn unpack_image_of_engine(
        &self,
        id: &str,
        archive: &Path,
        platform: &Platform,
    ) -> Result<ResolvedImage, ImageError> {
        let limits = ImageLimits::default();
        let blobs = Blobs::of_archive(archive, &self.temporary(), limits.layer_bytes)?;
        let chosen = in_docker_archive(&blobs, None, platform)?;
        self.unpack_chosen(blobs, chosen, &name_of_engine(id, platform), id, &limits)
    }

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
        self.unpack_chosen(blobs, chosen, &name, &stat, limits)
    }

    /// Unpacks what isn't there yet, and notes the image under a name.
    fn unpack_chosen(
        &self,
        blobs: Blobs,
        chosen: Chosen,
        name: &str,
        stat: &str,
        limits: &ImageLimits,
    ) -> Result<ResolvedImage, ImageError> {
        let image = NotedImage {
            digest: chosen.digest,
            layers: chosen.layer_ids(),
            config: chosen.configuration.image_config(),
            packed: Vec::new(),
            unpacked: true,
        };
        let work = image.layers.iter().cloned().zip(chosen.layers).collect();
        let anew = UnpackingLayers::new(self.clone(), blobs, work, AllThere(self.clone()), *limits).run()?;
        self.note_image(&[name], stat, &image, if anew { Came::Unpacked } else { Came::Before })?;
        Ok(self.resolved(&image))
    }
}

/// The name in the index.
fn name_of_engine(id: &str, platform: &Platform) -> String {
    format!("engine {id} {platform}")
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
