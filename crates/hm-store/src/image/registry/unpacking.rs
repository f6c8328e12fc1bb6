//! Layers on their way from a registry.

use std::sync::Arc;

use super::growing::{Growing, Phase};
use super::repository::Repository;
use super::{PullEvent, RegistryError};
use crate::ids::LayerId;
use crate::image::ImageError;
use crate::image::choose::LayerSource;
use crate::image::layers::{Arrival, Arrivals, Reading};

/// Layers that are being downloaded.
#[derive(Debug)]
pub(super) struct Arriving {
    pub(super) layers: Vec<ArrivingLayer>,
    pub(super) repository: Arc<Repository>,
}

#[derive(Debug)]
pub(super) struct ArrivingLayer {
    /// Its place in the image.
    pub(super) number: usize,
    /// For messages.
    pub(super) digest: String,
    pub(super) growing: Growing,
}

impl Arriving {
    /// The name that a layer's bytes have among the image's files: an image may have the same layer twice.
    pub(super) fn file_name(source: &LayerSource, number: usize) -> String {
        format!("{number}/{}", source.name)
    }

    fn given_up(&self, layer: usize) -> ImageError {
        let digest = self.layers[layer].digest.clone();
        RegistryError::GivenUp { digest }.into()
    }
}

impl Arrivals for Arriving {
    fn wait(&self, layer: usize, _: &LayerId) -> Result<Arrival, ImageError> {
        match self.layers[layer].growing.wait() {
            Phase::Present => Ok(Arrival::Present),
            Phase::Coming | Phase::Whole => Ok(Arrival::Readable),
            Phase::Waiting | Phase::Failed => Err(self.given_up(layer)),
        }
    }

    /// What could not be unpacked is of no use to a later pull, unless the download is why, or a full disk.
    fn read(&self, layer: usize, unpacked: Result<(), &ImageError>) -> Result<Reading, ImageError> {
        let growing = &self.layers[layer].growing;
        if growing.wait_for_end() == Phase::Failed {
            return Err(self.given_up(layer));
        }
        let Err(error) = unpacked else {
            return Ok(Reading::Over);
        };
        if growing.came_anew() {
            return Ok(Reading::Again);
        }
        if let Some(file) = growing.take_done().filter(|_| !error.is_full_disk()) {
            file.remove()?;
        }
        Ok(Reading::Over)
    }

    fn placed(&self, layer: usize) -> Result<(), ImageError> {
        let ArrivingLayer { number, growing, .. } = &self.layers[layer];
        if let Some(file) = growing.take_done() {
            file.remove()?;
        }
        self.repository.tell(PullEvent::LayerUnpacked { layer: *number });
        Ok(())
    }
}
