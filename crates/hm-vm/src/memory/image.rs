//! Images in memory.

use std::sync::Arc;

use hm_store::{DigestAlgorithm, ImageDigest};

use super::content;
use super::fs::Fs;
use super::node::{Kind, Node};
use crate::machine::ImageConfig;

/// A root file system in memory, with its configuration.
#[derive(Clone, Debug)]
pub struct MemoryImage {
    fs: Fs,
    config: ImageConfig,
}

impl MemoryImage {
    /// The folders that every system has, `/bin/sh`, and `/etc/passwd` with root and a user `build` (1000:1000).
    pub fn base() -> Self {
        let mut image = Self {
            fs: Fs::empty(),
            config: ImageConfig::default(),
        };
        for folder in ["bin", "dev", "etc", "home/build", "root", "tmp", "workspace"] {
            image = image.folder(folder);
        }
        image.file("bin/sh", "", 0o755).file("dev/null", "", 0o666).file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:1000::/home/build:/bin/sh\n",
            0o644,
        )
    }

    /// With an empty folder and the folders above it.
    ///
    /// # Panics
    /// If something else is in the way.
    #[must_use]
    pub fn folder(mut self, path: &str) -> Self {
        self.fs
            .make_dirs(&[], path.as_bytes())
            .expect("nothing is in the way of the folder");
        self
    }

    /// With a file in place of what was there; its parent folder is there already.
    ///
    /// # Panics
    /// If the parent folder isn't there.
    #[must_use]
    pub fn file(mut self, path: &str, content: &str, mode: u32) -> Self {
        let node = Node::new(mode, Kind::File(Arc::new(content.as_bytes().to_vec())));
        let put = self
            .fs
            .resolve(&[], path.as_bytes(), false)
            .and_then(|real| self.fs.put(&real, Arc::new(node)));
        put.expect("the parent folder is there");
        self
    }

    /// Without what is at the path.
    ///
    /// # Panics
    /// If there is nothing.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let taken = self
            .fs
            .resolve(&[], path.as_bytes(), false)
            .and_then(|real| self.fs.take(&real));
        taken.expect("it is there");
        self
    }

    /// With a configuration.
    #[must_use]
    pub fn config(mut self, config: ImageConfig) -> Self {
        self.config = config;
        self
    }

    pub(super) fn fs(&self) -> &Fs {
        &self.fs
    }

    pub(super) fn image_config(&self) -> &ImageConfig {
        &self.config
    }

    pub(super) fn digest(&self) -> ImageDigest {
        let hash = content::image_hash(&self.fs, &self.config);
        ImageDigest::new(DigestAlgorithm::Blake3, hash.into())
    }
}
