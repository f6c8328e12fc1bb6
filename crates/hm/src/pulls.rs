//! How pulls get on, on standard error: a bar for each layer on a terminal, else a line for each thing that matters.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hm_store::image::{PullEvent, PullObserver};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;
use crate::process::Process;

/// Bytes of a mebibyte.
const MIB: u64 = 1 << 20;
/// Of a layer's line. The bar gets what the terminal is wide.
const LINE: &str = "{prefix} {wide_bar} {binary_bytes:>11} of {binary_total_bytes:>11} {msg:<9}";

/// Shows all pulls of a process.
#[derive(Debug)]
pub(crate) struct PullProgress {
    /// Drawn at the bottom of the terminal; `None` where there is none.
    bars: Option<MultiProgress>,
    pulls: Mutex<HashMap<String, Pull>>,
}

/// An image on its way.
#[derive(Default, Debug)]
struct Pull {
    layers: usize,
    ready: usize,
    bytes: u64,
    bars: HashMap<usize, ProgressBar>,
}

impl PullProgress {
    pub(crate) fn new(process: &Process) -> Self {
        let bars = process
            .draws_on_stderr()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self {
            bars,
            pulls: Mutex::default(),
        }
    }

    /// Does something that writes to the terminal, without the bars in its way.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(work),
            None => work(),
        }
    }

    /// Leaves the terminal without bars, whatever became of the pulls.
    pub(crate) fn end(&self) {
        self.pulls().clear();
        if let Some(bars) = &self.bars {
            // A terminal that is gone shows none.
            bars.clear().ok();
        }
    }

    fn note(&self, text: &str) {
        self.aside(|| output::note(text));
    }

    fn began(&self, image: &str, layers: usize, bytes: u64) {
        let pull = Pull {
            layers,
            bytes,
            ..Pull::default()
        };
        self.pulls().insert(image.to_owned(), pull);
        self.note(&format!(
            "pulling {image}: {layers} layers, {} MiB",
            bytes.div_ceil(MIB)
        ));
    }

    fn started(&self, image: &str, layer: usize, size: u64, from: u64) {
        let Some(bars) = &self.bars else { return };
        let mut pulls = self.pulls();
        let Some(pull) = pulls.get_mut(image) else { return };
        let bar = bars.add(ProgressBar::new(size).with_position(from));
        let style = ProgressStyle::with_template(LINE).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸ "));
        bar.set_prefix(format!("layer {} of {}", layer + 1, pull.layers));
        pull.bars.insert(layer, bar);
    }

    fn with_bar(&self, image: &str, layer: usize, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.pulls().get(image).and_then(|pull| pull.bars.get(&layer)) {
            change(bar);
        }
    }

    fn ready(&self, image: &str, layer: usize) {
        let mut pulls = self.pulls();
        let Some(pull) = pulls.get_mut(image) else { return };
        pull.ready += 1;
        let (ready, layers, bytes) = (pull.ready, pull.layers, pull.bytes);
        if let Some(bar) = pull.bars.remove(&layer) {
            bar.finish_and_clear();
        }
        if ready == layers {
            pulls.remove(image);
        }
        drop(pulls);
        if self.bars.is_none() {
            output::note(&format!("layer {ready} of {layers} is ready"));
        } else if ready == layers {
            self.note(&format!("pulled {image}, {} MiB", bytes.div_ceil(MIB)));
        }
    }

    fn pulls(&self) -> MutexGuard<'_, HashMap<String, Pull>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PullObserver for PullProgress {
    fn event(&self, image: &str, event: PullEvent<'_>) {
        match event {
            PullEvent::Resolved { layers, bytes, .. } => self.began(image, layers, bytes),
            PullEvent::LayerPresent { layer } | PullEvent::LayerUnpacked { layer } => self.ready(image, layer),
            PullEvent::LayerStarted {
                layer,
                digest: _,
                size,
                resumed_at,
            } => self.started(image, layer, size, resumed_at),
            PullEvent::LayerBytes { layer, bytes } => self.with_bar(image, layer, |bar| bar.inc(bytes)),
            PullEvent::LayerDownloaded { layer } => {
                self.with_bar(image, layer, |bar| bar.set_message("unpacking"));
            }
            PullEvent::Retry { problem, after } => {
                self.note(&format!("{problem}; again in {:.1} s", after.as_secs_f64()));
            }
            PullEvent::MirrorFailed { mirror, problem } => {
                self.note(&format!("warning: the mirror {mirror} has failed: {problem}"));
            }
        }
    }
}
