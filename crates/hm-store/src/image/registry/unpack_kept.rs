//! Unpacking what a pull has kept, without the network.

use std::sync::{Arc, Mutex, PoisonError};

use super::partial::Partial;
use super::{PullEvent, PullObserver};
use crate::ids::LayerId;
use crate::image::blobs::Blobs;
use crate::image::choose::LayerSource;
use crate::image::known::{NotedImage, PackedLayer};
use crate::image::layers::{Arrival, Arrivals, Reading, UnpackingLayers};
use crate::image::{ImageError, ImageLimits};
use crate::store::Store;

/// Unpacks the layers of an image that are not unpacked yet.
///
/// # Errors
/// [`ImageError::Lost`] where a blob is missing or damaged; then it is gone, so that a pull loads it again.
pub(in crate::image) fn unpack_kept(
    store: &Store,
    reference: &str,
    image: &NotedImage,
    limits: ImageLimits,
    observer: &Arc<dyn PullObserver>,
) -> Result<(), ImageError> {
    observer.event(
        reference,
        PullEvent::Unpacking {
            layers: image.layers.len(),
        },
    );
    let source = |packed: &PackedLayer| LayerSource {
        name: packed.blob.to_hex(),
        // The uncompressed layer's digest tells whether the file is right.
        stored: None,
        diff: packed.diff,
    };
    let layers = image.layers.iter().cloned().zip(image.packed.iter().map(source));
    let kept = Kept {
        store: store.clone(),
        reference: reference.to_owned(),
        layers: image.packed.iter().map(|packed| (*packed, Mutex::default())).collect(),
        observer: Arc::clone(observer),
    };
    let blobs = Blobs::Folder(store.layout().kept_blobs());
    UnpackingLayers::new(store.clone(), blobs, layers.collect(), kept, limits).run()?;
    observer.event(reference, PullEvent::Done);
    Ok(())
}

/// Layers whose blobs were kept.
#[derive(Debug)]
struct Kept {
    store: Store,
    reference: String,
    /// Each is locked while this process works on it.
    layers: Vec<(PackedLayer, Mutex<Option<Partial>>)>,
    observer: Arc<dyn PullObserver>,
}

impl Kept {
    fn unlock(&self, layer: usize) -> Result<(), ImageError> {
        let (_, lock) = &self.layers[layer];
        let locked = lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(locked.map_or(Ok(()), Partial::remove)?)
    }
}

impl Arrivals for Kept {
    fn wait(&self, layer: usize, id: &LayerId) -> Result<Arrival, ImageError> {
        let (packed, lock) = &self.layers[layer];
        let locked = Partial::lock_blocking(self.store.layout(), id, &packed.blob)?;
        *lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(locked);
        if self.store.layout().layer(id).is_dir() {
            self.unlock(layer)?;
            self.observer.event(&self.reference, PullEvent::LayerPresent { layer });
            return Ok(Arrival::Present);
        }
        Ok(Arrival::Readable)
    }

    fn read(&self, layer: usize, unpacked: Result<(), &ImageError>) -> Result<Reading, ImageError> {
        if unpacked.is_ok() {
            return Ok(Reading::Over);
        }
        self.unlock(layer)?;
        let (packed, _) = &self.layers[layer];
        if self.store.right_blob(&packed.blob)?.is_some() {
            return Ok(Reading::Over);
        }
        Err(ImageError::Lost {
            reference: self.reference.clone(),
            digest: packed.blob.to_string(),
        })
    }

    fn placed(&self, layer: usize) -> Result<(), ImageError> {
        self.unlock(layer)?;
        self.observer.event(&self.reference, PullEvent::LayerUnpacked { layer });
        Ok(())
    }
}
