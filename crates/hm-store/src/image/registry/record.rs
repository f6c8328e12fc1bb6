//! What the store remembers of an image that was pulled.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::IndexError;
use crate::ids::ImageDigest;
use crate::image::known::NotedImage;
use crate::image::{ImageError, Platform, RegistryRef};
use crate::store::Store;

/// An image that a reference stood for when it was last pulled.
#[derive(Clone, Debug)]
pub(in crate::image) struct Pulled {
    pub(in crate::image) record: PullRecord,
    pub(in crate::image) image: NotedImage,
}

/// Kept with the reference in the index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(in crate::image) struct PullRecord {
    /// What the registry's tag led to: the list of all platforms, where there is one.
    pub(in crate::image) top: ImageDigest,
    /// When it was pulled.
    pub(in crate::image) pulled: Timestamp,
    /// Bytes of its layers, as the registry stores them.
    pub(in crate::image) bytes: u64,
}

/// What begins the names of images that were pulled.
pub(in crate::image) const PREFIX: &str = "Registry ";

/// What the image is called in the index: by its digest where it has one, whatever the tag is.
pub(in crate::image) fn index_name(reference: &RegistryRef, platform: &Platform) -> String {
    let tag = reference.tag.clone().filter(|_| reference.digest.is_none());
    let name = RegistryRef {
        tag,
        ..reference.clone()
    };
    format!("{PREFIX}{name} {platform}")
}

impl Store {
    /// The image that the reference stood for when it was last pulled, if all of it is still there, unpacked or not.
    pub(in crate::image) fn pulled_image(
        &self,
        reference: &RegistryRef,
        platform: &Platform,
    ) -> Result<Option<Pulled>, ImageError> {
        let Some((stat, image)) = self.noted_image(&index_name(reference, platform))? else {
            return Ok(None);
        };
        if !self.is_there(&image) {
            return Ok(None);
        }
        let what = "record of a pull";
        let record = serde_json::from_str(&stat).map_err(|source| IndexError::BadJson { what, source })?;
        Ok(Some(Pulled { record, image }))
    }
}
