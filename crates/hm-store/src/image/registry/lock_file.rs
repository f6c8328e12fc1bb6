//! `.hm/images.lock`: which digest each image of a registry stands for, whatever its tag does.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::error::FileError;
use crate::ids::ImageDigest;
use crate::image::{ImageRef, RegistryRef};

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// The digests of images, by reference with its defaults filled in.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ImageLock {
    images: BTreeMap<String, ImageDigest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(deserialize_with = "each_once")]
    images: BTreeMap<String, ImageDigest>,
}

/// A map of which no key is there twice, as merges leave them.
fn each_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, ImageDigest>, D::Error> {
    struct EachOnce;
    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, ImageDigest>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("digests by image")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut images = BTreeMap::new();
            while let Some((name, digest)) = map.next_entry::<String, ImageDigest>()? {
                if let Some(other) = images.insert(name.clone(), digest)
                    && other != digest
                {
                    return Err(A::Error::custom(format!("{name} is there twice, with two digests")));
                }
            }
            Ok(images)
        }
    }
    deserializer.deserialize_map(EachOnce)
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A lock can't be used.
#[derive(Debug, Error)]
pub enum LockError {
    /// The file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what is written here.
    #[error("{} can't be understood", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another version of hm wrote it.
    #[error("{} has version {found}; this hm knows {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// A name in it is not one of an image of a registry, written out.
    #[error("{}: {name:?} is not the whole name of an image of a registry", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
}

impl ImageLock {
    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// A file that can't be read, that another version wrote, or that holds what is no image.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        let bytes = match fs::read(path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            other => other.map_err(FileError::at("read", path))?,
        };
        let json = |source| LockError::Json {
            path: path.to_owned(),
            source,
        };
        let Version { version: found } = serde_json::from_slice(&bytes).map_err(json)?;
        if found != VERSION {
            return Err(LockError::Version {
                path: path.to_owned(),
                found,
            });
        }
        let Document { images, .. } = serde_json::from_slice(&bytes).map_err(json)?;
        let is_whole = |name: &String| matches!(ImageRef::parse(name), Ok(ImageRef::Registry(reference)) if reference.to_string() == *name);
        match images.keys().find(|name| !is_whole(name)) {
            Some(name) => Err(LockError::Name {
                path: path.to_owned(),
                name: name.clone(),
            }),
            None => Ok(Some(Self { images })),
        }
    }

    /// Changes the file while nobody else does; `change` is given what is there.
    ///
    /// # Errors
    /// As for [`ImageLock::read`] and [`ImageLock::write`].
    pub fn update(path: &Path, change: impl FnOnce(Option<Self>) -> Self) -> Result<(), LockError> {
        let folder = folder_of(path);
        let held = File::open(folder).map_err(FileError::at("open", folder))?;
        // A file system without locks is no reason not to write.
        held.lock().ok();
        change(Self::read(path)?).write(path)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// A folder that is missing or can't be written.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let document = Document {
            version: VERSION,
            images: self.images.clone(),
        };
        let mut text = serde_json::to_string_pretty(&document).map_err(|source| LockError::Json {
            path: path.to_owned(),
            source,
        })?;
        text.push('\n');
        let failed = || FileError::at("write", path);
        let mut file = NamedTempFile::new_in(folder_of(path)).map_err(failed())?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed())?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(failed())?;
        file.persist(path).map_err(|error| failed()(error.error))?;
        Ok(())
    }

    /// The digest of an image; a digest in the reference itself counts more.
    pub fn get(&self, reference: &RegistryRef) -> Option<ImageDigest> {
        self.images.get(&reference.to_string()).copied()
    }

    /// Pins an image.
    pub fn set(&mut self, reference: &RegistryRef, digest: ImageDigest) {
        self.images.insert(reference.to_string(), digest);
    }

    /// All of it, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ImageDigest)> {
        self.images.iter().map(|(name, digest)| (name.as_str(), *digest))
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> RegistryRef {
        let ImageRef::Registry(reference) = ImageRef::parse(text).unwrap() else {
            panic!("{text}")
        };
        reference
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.lock");
        assert_eq!(ImageLock::read(&path).unwrap(), None);
        let digest: ImageDigest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let mut lock = ImageLock::default();
        lock.set(&reference("ubuntu:24.04"), digest);
        lock.write(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!(
                "{{\n  \"version\": 1,\n  \"images\": {{\n    \"docker.io/library/ubuntu:24.04\": \"{digest}\"\n  }}\n}}\n"
            )
        );
        let read = ImageLock::read(&path).unwrap().unwrap();
        assert_eq!(read.get(&reference("docker.io/library/ubuntu:24.04")), Some(digest));
        assert_eq!(read.get(&reference("ubuntu:22.04")), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn changes_side_by_side_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.lock");
        let digest: ImageDigest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        std::thread::scope(|scope| {
            for number in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    ImageLock::update(path, |there| {
                        let mut lock = there.unwrap_or_default();
                        lock.set(&reference(&format!("ubuntu:{number}")), digest);
                        lock
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(ImageLock::read(&path).unwrap().unwrap().iter().count(), 16);
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.lock");
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            ImageLock::read(&path).unwrap_err()
        };
        assert!(matches!(error("{"), LockError::Json { .. }));
        assert!(matches!(
            error(r#"{"version":2,"more":1}"#),
            LockError::Version { found: 2, .. }
        ));
        assert!(matches!(
            error(r#"{"version":1,"images":{"a":"sha256:1"}}"#),
            LockError::Json { .. }
        ));
        let digest = format!("sha256:{}", "a".repeat(64));
        let short = format!(r#"{{"version":1,"images":{{"ubuntu":"{digest}"}}}}"#);
        assert!(matches!(error(&short), LockError::Name { .. }));
        let (name, other) = ("docker.io/library/ubuntu:24.04", format!("sha256:{}", "b".repeat(64)));
        let twice = format!(r#"{{"version":1,"images":{{"{name}":"{digest}","{name}":"{other}"}}}}"#);
        let LockError::Json { source, .. } = error(&twice) else {
            panic!()
        };
        assert!(source.to_string().contains("ubuntu:24.04 is there twice"), "{source}");
    }
}
