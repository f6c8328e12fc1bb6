//! The layers of an image: several are unpacked at once, and each becomes visible after those below it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::blobs::Blobs;
use super::choose::LayerSource;
use super::layer::UnpackedLayer;
use super::{ImageError, ImageLimits};
use crate::ids::LayerId;
use crate::store::Store;
use crate::work_queue::on_threads;

/// Layers that are unpacked at once.
pub(super) const AT_ONCE: usize = 4;

/// How the layers get here. They are named by their place among those that are worked on.
pub(super) trait Arrivals: Send + Sync {
    /// Waits until the layer can be read.
    fn wait(&self, layer: usize, id: &LayerId) -> Result<Arrival, ImageError>;

    /// Nobody reads the layer any more; `unpacked` tells whether all of it was read and is right. An error is why it was
    /// not.
    fn read(&self, layer: usize, unpacked: Result<(), &ImageError>) -> Result<Reading, ImageError>;

    /// The layer is in the store.
    fn placed(&self, layer: usize) -> Result<(), ImageError>;
}

/// How a layer arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It is unpacked already.
    Present,
    /// Its bytes can be read, as far as they are there.
    Readable,
}

/// Whether a layer has to be read once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    Over,
    /// Its bytes were wrong, and it came anew.
    Again,
}

/// Layers of an image on this machine.
pub(super) struct AllThere(pub(super) Store);

impl Arrivals for AllThere {
    fn wait(&self, _: usize, id: &LayerId) -> Result<Arrival, ImageError> {
        if self.0.layout().layer(id).is_dir() {
            Ok(Arrival::Present)
        } else {
            Ok(Arrival::Readable)
        }
    }

    fn read(&self, _: usize, _: Result<(), &ImageError>) -> Result<Reading, ImageError> {
        Ok(Reading::Over)
    }

    fn placed(&self, _: usize) -> Result<(), ImageError> {
        Ok(())
    }
}

/// Layers that are being unpacked, by any number of threads.
pub(super) struct UnpackingLayers<A> {
    store: Store,
    blobs: Blobs,
    /// The bottom first.
    layers: Vec<(LayerId, LayerSource)>,
    arrivals: A,
    limits: ImageLimits,
    /// The next layer that nobody works on.
    next: AtomicUsize,
    anew: AtomicBool,
    turn: Mutex<Turn>,
    turned: Condvar,
}

/// Whose turn it is to become visible.
#[derive(Debug)]
enum Turn {
    Of(usize),
    /// A layer failed, so none that is above it will become visible.
    Over,
}

impl<A: Arrivals> UnpackingLayers<A> {
    pub(super) fn new(
        store: Store,
        blobs: Blobs,
        layers: Vec<(LayerId, LayerSource)>,
        arrivals: A,
        limits: ImageLimits,
    ) -> Self {
        Self {
            store,
            blobs,
            layers,
            arrivals,
            limits,
            next: AtomicUsize::new(0),
            anew: AtomicBool::new(false),
            turn: Mutex::new(Turn::Of(0)),
            turned: Condvar::new(),
        }
    }

    /// Unpacks all that aren't there; tells whether there were any.
    pub(super) fn run(&self) -> Result<bool, ImageError> {
        let threads = self.layers.len().min(AT_ONCE);
        on_threads(threads, || self.work())
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(self.is_anew())
    }

    /// Does a share of the work. When all who do return in order, all of it is done.
    pub(super) fn work(&self) -> Result<(), ImageError> {
        loop {
            // In order: whoever waits for a layer below waits for somebody who works on it.
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((id, source)) = self.layers.get(number) else {
                return Ok(());
            };
            match self.one(number, id, source) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    *self.turn() = Turn::Over;
                    self.turned.notify_all();
                    return Err(error);
                }
            }
        }
    }

    /// Whether there was a layer that wasn't there.
    pub(super) fn is_anew(&self) -> bool {
        self.anew.load(Ordering::Relaxed)
    }

    /// Unpacks a layer; `false` where another one failed.
    fn one(&self, number: usize, id: &LayerId, source: &LayerSource) -> Result<bool, ImageError> {
        let unpacked = match self.arrivals.wait(number, id)? {
            Arrival::Present => None,
            Arrival::Readable => loop {
                let unpacked = UnpackedLayer::make(&self.store, &self.blobs, source, &self.limits);
                match self.arrivals.read(number, unpacked.as_ref().map(|_| ()))? {
                    Reading::Over => break Some(unpacked?),
                    Reading::Again => {}
                }
            },
        };
        if !self.wait_for_turn(number) {
            return Ok(false);
        }
        if let Some(unpacked) = unpacked {
            let below: Vec<PathBuf> = self
                .layers
                .iter()
                .take(number)
                .rev()
                .map(|(id, _)| self.store.layout().layer(id))
                .collect();
            unpacked.place(&below, &self.store.layout().layer(id))?;
            self.arrivals.placed(number)?;
            self.anew.store(true, Ordering::Relaxed);
        }
        *self.turn() = Turn::Of(number + 1);
        self.turned.notify_all();
        Ok(true)
    }

    /// Waits until all layers below are there; `false` where they never will be.
    fn wait_for_turn(&self, number: usize) -> bool {
        let is_early = |turn: &mut Turn| matches!(turn, Turn::Of(other) if *other != number);
        let turn = self
            .turned
            .wait_while(self.turn(), is_early)
            .unwrap_or_else(PoisonError::into_inner);
        matches!(*turn, Turn::Of(_))
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
