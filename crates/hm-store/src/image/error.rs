//! What can go wrong with an image.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::registry::RegistryError;
use super::tar_stream::TarError;
use crate::error::{FileError, IndexError};

/// What to do where the store's disk is full.
pub(super) const FULL_DISK: &str = "make room on the store's disk, or remove images (hm image ls, hm image rm IMAGE)";

/// An image could not be had.
#[derive(Debug, Error)]
pub enum ImageError {
    /// Nothing is where the reference points to.
    #[error("there is no image at {}", path.display())]
    NotFound {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there, and is something else.
    #[error("{} is not {expected}", path.display())]
    WrongKind {
        /// The file or folder.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The folder of an image holds the store, or lies in it: a machine would be mounted over what it writes.
    #[error("{} can't be an image: {}", path.display(), store_problem(path, store))]
    OverStore {
        /// The folder.
        path: PathBuf,
        /// The store's.
        store: PathBuf,
    },
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store's index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The image's registry has to be asked, which [`Store::resolve_image`](crate::Store::resolve_image) does not do.
    #[error("{reference} is an image of a registry, and no registry is asked here")]
    RegistryUnsupported {
        /// The reference, with its defaults filled in.
        reference: String,
    },
    /// Its registry didn't give it.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// A layer that was kept from a pull is gone or was damaged, and has to be pulled again.
    #[error("the store lost layer {digest} of {reference}, or its file was damaged")]
    Lost {
        /// The image.
        reference: String,
        /// The layer's digest.
        digest: String,
    },
    /// An image to be removed isn't there.
    #[error("{reference} has not been pulled into this store")]
    NotPulled {
        /// The reference.
        reference: String,
    },
    /// The work was ended before its time.
    #[error("the work on {reference} was ended")]
    Ended {
        /// The reference.
        reference: String,
    },
    /// Images of a Docker engine can't be read.
    #[error("docker-daemon:{name} is an image of a Docker engine, and reading from one is not available")]
    DaemonUnsupported {
        /// The image's name.
        name: String,
    },
    /// A part that the image consists of is missing.
    #[error("{}: {what} {digest} is missing", path.display())]
    MissingBlob {
        /// The layout or archive.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Its digest or name.
        digest: String,
    },
    /// A part's bytes are not those that its digest names.
    #[error("{}: {what} {expected} is damaged: its bytes have the digest {found}", path.display())]
    DigestMismatch {
        /// The layout or archive.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// The digest that the image gives.
        expected: String,
        /// The digest that the bytes have.
        found: String,
    },
    /// A part has another length than the image says.
    #[error("{}: {what} {digest} is {found} bytes long, not {expected}", path.display())]
    SizeMismatch {
        /// The layout or archive.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// The length that the image gives.
        expected: u64,
        /// Its length.
        found: u64,
    },
    /// A digest that this version can't check.
    #[error("{}: {digest:?} is not a digest that hm knows (sha256: and 64 hexadecimal digits)", path.display())]
    BadDigest {
        /// The layout or archive.
        path: PathBuf,
        /// The digest.
        digest: String,
    },
    /// A JSON document of the image can't be read.
    #[error("{}: {what} can't be read", path.display())]
    Json {
        /// The layout or archive.
        path: PathBuf,
        /// Which document.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A JSON document of the image is larger than any real one.
    #[error("{}: {what} is {size} bytes long; at most {limit} are read", path.display())]
    TooLarge {
        /// The layout or archive.
        path: PathBuf,
        /// Which document.
        what: String,
        /// Its length.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// No image has the tag, or several images are there and none was chosen.
    #[error("{}: {}; it holds {}", path.display(), tag_problem(tag.as_deref()), list(found))]
    Tag {
        /// The layout or archive.
        path: PathBuf,
        /// The tag that was asked for.
        tag: Option<String>,
        /// The tags that are there.
        found: Vec<String>,
    },
    /// No image is for this machine.
    #[error("{}: no image for {wanted}; it holds {}", path.display(), list(found))]
    Platform {
        /// The layout or archive.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The platforms that are there.
        found: Vec<String>,
    },
    /// The image is of a form that this version doesn't know.
    #[error("{}: {what} has the unknown media type {media_type:?}", path.display())]
    MediaType {
        /// The layout or archive.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// The media type.
        media_type: String,
    },
    /// The manifest and the configuration speak of different numbers of layers.
    #[error("{}: the manifest has {manifest} layers and the configuration {config}", path.display())]
    LayerCount {
        /// The layout or archive.
        path: PathBuf,
        /// Layers of the manifest.
        manifest: usize,
        /// Layers of the configuration.
        config: usize,
    },
    /// The image has more layers than can be stacked.
    #[error("{}: the image has {layers} layers; at most {most} can be stacked", path.display())]
    TooManyLayers {
        /// The layout or archive.
        path: PathBuf,
        /// How many it has.
        layers: usize,
        /// How many it may have.
        most: usize,
    },
    /// A layer can't be unpacked.
    #[error("{}: layer {digest} can't be unpacked", path.display())]
    Unpack {
        /// The layout or archive.
        path: PathBuf,
        /// The layer.
        digest: String,
        /// Why.
        source: UnpackError,
    },
    /// The archive itself can't be read.
    #[error("{} can't be read", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: TarError,
    },
}

/// Why a layer can't be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The archive is damaged.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry's path leads out of the image.
    #[error("the entry {path:?} has a path that leads out of the image")]
    UnsafePath {
        /// The path as it is in the archive.
        path: String,
    },
    /// A hard link points to something that isn't in the layer.
    #[error("the entry {path:?} is a hard link to {target:?}, which isn't in the layer")]
    HardLink {
        /// The path as it is in the archive.
        path: String,
        /// What it points to.
        target: String,
    },
    /// An entry belongs to a user or group that machines don't have.
    #[error("the entry {path:?} belongs to user {user} and group {group}, and machines have 0 to {greatest} only")]
    Owner {
        /// The path as it is in the archive.
        path: String,
        /// The user's id.
        user: u32,
        /// The group's id.
        group: u32,
        /// The greatest id that exists.
        greatest: u32,
    },
    /// The layer unpacks to more than a layer may.
    #[error("it unpacks to more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// An entry can't be made.
    #[error("cannot {doing} {path:?}")]
    Entry {
        /// The verb, for people.
        doing: &'static str,
        /// The path in the image.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ImageError {
    /// Whether the store's disk is full.
    pub(super) fn is_full_disk(&self) -> bool {
        let is_full = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
        if let Self::Unpack {
            source: UnpackError::Entry { source, .. },
            ..
        } = self
        {
            return is_full(source);
        }
        matches!(self, Self::File(error) if is_full(&error.source))
    }

    /// What to do about it, in words or commands.
    pub fn fix(&self) -> Option<String> {
        let fix = match self {
            Self::NotFound { .. } => "check the path; a relative one is taken from the project's folder".to_owned(),
            Self::RegistryUnsupported { reference } => format!("fetch it once: hm image pull {reference}"),
            Self::Registry(error) => return error.fix(),
            Self::Lost { reference, .. } => format!("fetch it again, with a network: hm image pull {reference}"),
            Self::NotPulled { .. } => "see what is there: hm image ls".to_owned(),
            Self::DaemonUnsupported { name } => {
                format!("save it once: docker save {name} -o image.tar, and use image=\"docker-archive:image.tar\"")
            }
            Self::MissingBlob { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::LayerCount { .. }
            | Self::Archive { .. }
            | Self::Json { .. } => "make the image again: it is damaged or only partly there".to_owned(),
            Self::Tag { path, found, .. } => match found.first() {
                Some(tag) => format!("name one of them after the path: {}:{tag}", path.display()),
                None => return None,
            },
            Self::Platform { wanted, .. } => format!("make or fetch the image for {wanted}"),
            Self::Unpack {
                source: UnpackError::Limit { .. },
                ..
            } => "if the image is really this large, unpack it and use dir:PATH".to_owned(),
            Self::Unpack {
                source: UnpackError::Owner { .. },
                ..
            } => "get more subordinate ids: usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST USER".to_owned(),
            _ if self.is_full_disk() => FULL_DISK.to_owned(),
            Self::Unpack {
                source: UnpackError::Tar(TarError::Read { source, .. }),
                ..
            } if source.kind() == io::ErrorKind::Unsupported => {
                "make the image with layers of gzip or zstd: skopeo copy --dest-compress-format gzip …".to_owned()
            }
            Self::Unpack { .. } => {
                "fetch or make the image again; if it stays so its maker has to mend it, or unpack it and use dir:PATH"
                    .to_owned()
            }
            Self::MediaType { media_type, .. }
                if media_type.ends_with("schemaVersion 1") || media_type.contains("manifest.v1+") =>
            {
                "its format is from before 2016 (schema 1): pull it with an old Docker and push it with a new one"
                    .to_owned()
            }
            Self::TooManyLayers { .. } => {
                "make the image with fewer layers: docker build --squash, or docker export".to_owned()
            }
            Self::OverStore { path, .. } if path.parent().is_none() => {
                "use image=\"host\", which is this machine's own system".to_owned()
            }
            Self::OverStore { .. } => {
                "name a folder apart from the store, or have the store elsewhere: HM_STORE__DIR=/some/other/folder"
                    .to_owned()
            }
            Self::File(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
                format!(
                    "make it readable for this user: sudo chmod -R a+rX {}",
                    error.path.display()
                )
            }
            Self::WrongKind { .. }
            | Self::Ended { .. }
            | Self::File(_)
            | Self::Index(_)
            | Self::BadDigest { .. }
            | Self::TooLarge { .. }
            | Self::MediaType { .. } => return None,
        };
        Some(fix)
    }
}

impl From<rusqlite::Error> for ImageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error.into())
    }
}

impl From<RegistryError> for ImageError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

fn store_problem(path: &Path, store: &Path) -> String {
    let how = if store.starts_with(path) { "holds" } else { "lies in" };
    format!("it {how} the store {}", store.display())
}

fn tag_problem(tag: Option<&str>) -> String {
    tag.map_or_else(
        || "several images are there and none is named".to_owned(),
        |tag| format!("no image is named {tag:?}"),
    )
}

fn list(found: &[String]) -> String {
    if found.is_empty() {
        "none".to_owned()
    } else {
        found.join(", ")
    }
}
