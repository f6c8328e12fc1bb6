//! What is told while an image is pulled.

use std::fmt::Debug;
use std::time::Duration;

/// Is told how a pull gets on; called from several threads, and must not block.
pub trait PullObserver: Send + Sync + Debug {
    /// Something happened in the pull of this image, which is named as its reference is written in full.
    fn event(&self, image: &str, event: PullEvent<'_>);
}

/// A step of a pull. Layers are named by their place in the image, from 0, the bottom first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PullEvent<'a> {
    /// The image's documents are there.
    Resolved {
        /// Digest of its manifest.
        digest: String,
        /// How many layers it has.
        layers: usize,
        /// Bytes of them all, as the registry stores them.
        bytes: u64,
    },
    /// All of the image came with an earlier pull, and is unpacked without its registry.
    Unpacking {
        /// How many layers it has.
        layers: usize,
    },
    /// A layer is in the store already.
    LayerPresent {
        /// Which.
        layer: usize,
    },
    /// The download of a layer begins.
    LayerStarted {
        /// Which.
        layer: usize,
        /// Its digest.
        digest: &'a str,
        /// Its length in bytes.
        size: u64,
        /// Bytes that an earlier pull left.
        resumed_at: u64,
    },
    /// More of a layer came.
    LayerBytes {
        /// Which.
        layer: usize,
        /// Bytes that came since the last event.
        bytes: u64,
    },
    /// All of a layer came, and its digest is right.
    LayerDownloaded {
        /// Which.
        layer: usize,
    },
    /// A layer is kept as it came, and has reached the disk.
    LayerKept {
        /// Which.
        layer: usize,
    },
    /// A layer is ready to be used.
    LayerUnpacked {
        /// Which.
        layer: usize,
    },
    /// The image is there; nothing more is told of it.
    Done,
    /// The image can't be had; nothing more is told of it.
    Failed,
    /// Something failed and is tried again.
    Retry {
        /// What failed, for people.
        problem: String,
        /// When it is tried again.
        after: Duration,
    },
    /// A mirror failed and the next server is asked.
    MirrorFailed {
        /// Which.
        mirror: &'a str,
        /// What failed, for people.
        problem: String,
    },
}

/// Tells nobody.
#[derive(Clone, Copy, Default, Debug)]
pub struct Unobserved;

impl PullObserver for Unobserved {
    fn event(&self, _: &str, _: PullEvent<'_>) {}
}

/// An error and what caused it, in one line.
pub(super) fn in_one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
