//! Unpacks layers in their order, while they arrive.

use super::growing::{Arrival, Growing};
use super::{PullEvent, PullObserver, RegistryError};
use crate::ids::LayerId;
use crate::image::blobs::Blobs;
use crate::image::choose::LayerSource;
use crate::image::{ImageError, ImageLimits};
use crate::store::Store;

/// A layer on its way.
#[derive(Debug)]
pub(super) struct Arriving {
    /// Its place in the image.
    pub(super) number: usize,
    pub(super) layer: LayerId,
    pub(super) source: LayerSource,
    pub(super) growing: Growing,
}

impl Arriving {
    /// The name that its bytes have among the image's files: an image may have the same layer twice.
    pub(super) fn file_name(source: &LayerSource, number: usize) -> String {
        format!("{number}/{}", source.name)
    }
}

/// Unpacks those that aren't there; tells whether there were any.
pub(super) fn unpack_all(
    store: &Store,
    blobs: &Blobs,
    arriving: Vec<Arriving>,
    limits: &ImageLimits,
    observer: &dyn PullObserver,
) -> Result<bool, ImageError> {
    let mut anew = false;
    let mut below: Vec<LayerId> = Vec::new();
    for Arriving {
        number,
        layer,
        mut source,
        growing,
    } in arriving
    {
        match growing.wait() {
            Arrival::Present => {}
            Arrival::Failed => return Err(RegistryError::GivenUp { digest: source.name }.into()),
            Arrival::Readable => {
                source.name = Arriving::file_name(&source, number);
                let folder = store.layout().layer(&layer);
                let unpacked = store.unpack_layer(blobs, &source, &below, &folder, limits);
                // Whether the bytes were right is known at their end only.
                growing.wait_for_end();
                let Some(done) = growing.take_done() else {
                    return Err(RegistryError::GivenUp { digest: source.name }.into());
                };
                done.remove()?;
                unpacked?;
                observer.event(PullEvent::LayerUnpacked { layer: number });
                anew = true;
            }
        }
        below.push(layer);
    }
    Ok(anew)
}
