//! How pulls get on, on standard error: a bar for each layer on a terminal, else a line for each image.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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

/// What is done to an image, for people.
#[derive(Clone, Copy, Debug)]
struct Verb {
    present: &'static str,
    past: &'static str,
}

const PULL: Verb = Verb {
    present: "pulling",
    past: "pulled",
};
const UNPACK: Verb = Verb {
    present: "unpacking",
    past: "unpacked",
};

/// An image on its way.
#[derive(Debug)]
struct Pull {
    verb: Verb,
    begun: Instant,
    layers: usize,
    /// That come from the registry.
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

    fn began(&self, image: &str, verb: Verb, layers: usize, bytes: u64) {
        let pull = Pull {
            verb,
            begun: Instant::now(),
            layers,
            bytes,
            bars: HashMap::new(),
        };
        self.pulls().insert(image.to_owned(), pull);
        if self.bars.is_some() {
            self.note(&format!("{} {}", verb.present, described(image, layers, bytes)));
        }
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
        let bar = pulls.get_mut(image).and_then(|pull| pull.bars.remove(&layer));
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn done(&self, image: &str) {
        let Some(pull) = self.pulls().remove(image) else { return };
        let described = described(image, pull.layers, pull.bytes);
        let seconds = pull.begun.elapsed().as_secs_f64();
        self.note(&format!("{} {described} in {seconds:.1} s", pull.verb.past));
    }

    fn failed(&self, image: &str) {
        let pull = self.pulls().remove(image);
        for (_, bar) in pull.into_iter().flat_map(|pull| pull.bars) {
            bar.finish_and_clear();
        }
    }

    fn pulls(&self) -> MutexGuard<'_, HashMap<String, Pull>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An image and how large it is; unpacking takes no bytes from a registry.
fn described(image: &str, layers: usize, bytes: u64) -> String {
    let plural = if layers == 1 { "" } else { "s" };
    match bytes {
        0 => format!("{image}: {layers} layer{plural}"),
        bytes => format!("{image}: {layers} layer{plural}, {} MiB", bytes.div_ceil(MIB)),
    }
}

impl PullObserver for PullProgress {
    fn event(&self, image: &str, event: PullEvent<'_>) {
        match event {
            PullEvent::Resolved { layers, bytes, .. } => self.began(image, PULL, layers, bytes),
            PullEvent::Unpacking { layers } => self.began(image, UNPACK, layers, 0),
            PullEvent::Done => self.done(image),
            PullEvent::Failed => self.failed(image),
            PullEvent::LayerPresent { layer } | PullEvent::LayerKept { layer } | PullEvent::LayerUnpacked { layer } => {
                self.ready(image, layer);
            }
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
