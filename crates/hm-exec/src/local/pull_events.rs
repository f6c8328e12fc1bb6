//! Images that are got ready, as events of builds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hm_plugin_protocol::{BuildEvent, PullState};
use hm_store::image::{PullEvent, PullObserver};
use tokio::sync::mpsc;

/// Events while an image comes, at most; beside one for each layer that is ready.
const STEPS: u64 = 50;
/// Bytes between two events, at least.
const LEAST: u64 = 1 << 20;

/// Tells the builds under way, and another observer, of images that are got ready.
#[derive(Debug)]
pub struct PullEvents {
    then: Arc<dyn PullObserver>,
    shared: Mutex<Shared>,
}

#[derive(Default, Debug)]
struct Shared {
    builds: Vec<mpsc::UnboundedSender<BuildEvent>>,
    images: HashMap<String, Image>,
}

/// An image on its way.
#[derive(Debug)]
struct Image {
    state: PullState,
    layers: u32,
    ready: u32,
    bytes: u64,
    done: u64,
    /// What the last event said of `done`.
    told: u64,
}

/// A build's end of [`PullEvents`].
#[derive(Debug)]
pub(crate) struct PullListener {
    events: mpsc::UnboundedReceiver<BuildEvent>,
    /// By image, what was told last where it was not the last of all.
    open: HashMap<String, BuildEvent>,
}

impl PullEvents {
    /// `then` is told everything, too.
    pub fn new(then: Arc<dyn PullObserver>) -> Self {
        Self {
            then,
            shared: Mutex::default(),
        }
    }

    /// For a build that begins.
    pub(crate) fn listen(&self) -> PullListener {
        let (sender, events) = mpsc::unbounded_channel();
        let mut shared = self.shared();
        for (name, image) in &shared.images {
            // The other end is in this function.
            sender.send(image.event(name)).unwrap_or_default();
        }
        shared.builds.push(sender);
        PullListener {
            events,
            open: HashMap::new(),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PullObserver for PullEvents {
    fn event(&self, image: &str, event: PullEvent<'_>) {
        self.shared().take_in(image, &event);
        self.then.event(image, event);
    }
}

impl Shared {
    fn take_in(&mut self, name: &str, event: &PullEvent<'_>) {
        match event {
            PullEvent::Resolved { layers, bytes, .. } => self.begin(name, PullState::Pulling, *layers, *bytes),
            PullEvent::Unpacking { layers } => self.begin(name, PullState::Unpacking, *layers, 0),
            PullEvent::LayerStarted { resumed_at, .. } => self.came(name, *resumed_at),
            PullEvent::LayerBytes { bytes, .. } => self.came(name, *bytes),
            PullEvent::LayerPresent { .. } | PullEvent::LayerKept { .. } | PullEvent::LayerUnpacked { .. } => {
                self.change(name, |image| image.ready += 1);
            }
            PullEvent::Done => self.end(name, PullState::Ready),
            PullEvent::Failed => self.end(name, PullState::Failed),
            PullEvent::LayerDownloaded { .. } | PullEvent::Retry { .. } | PullEvent::MirrorFailed { .. } => {}
        }
    }

    fn begin(&mut self, name: &str, state: PullState, layers: usize, bytes: u64) {
        let image = Image {
            state,
            layers: u32::try_from(layers).unwrap_or(u32::MAX),
            ready: 0,
            bytes,
            done: 0,
            told: 0,
        };
        self.images.insert(name.to_owned(), image);
        self.change(name, |_| {});
    }

    fn came(&mut self, name: &str, bytes: u64) {
        let Some(image) = self.images.get_mut(name) else { return };
        image.done += bytes;
        if image.done - image.told >= (image.bytes / STEPS).max(LEAST) {
            self.change(name, |_| {});
        }
    }

    fn end(&mut self, name: &str, state: PullState) {
        self.change(name, |image| image.state = state);
        self.images.remove(name);
    }

    /// Changes what is known of an image, and tells it.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Image)) {
        let Some(image) = self.images.get_mut(name) else { return };
        change(image);
        image.told = image.done;
        let event = image.event(name);
        // Builds that are over listen no more.
        self.builds.retain(|build| build.send(event.clone()).is_ok());
    }
}

impl Image {
    fn event(&self, name: &str) -> BuildEvent {
        BuildEvent::ImagePull {
            image: name.to_owned(),
            state: self.state,
            layers: self.layers,
            layers_ready: self.ready,
            bytes: self.bytes,
            bytes_done: self.done,
        }
    }
}

impl PullListener {
    /// Hears nothing.
    pub(crate) fn deaf() -> Self {
        let (_, events) = mpsc::unbounded_channel();
        let open = HashMap::new();
        Self { events, open }
    }

    /// The next event. Waits for ever where none can come. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> BuildEvent {
        match self.events.recv().await {
            Some(event) => {
                self.note(&event);
                event
            }
            None => std::future::pending().await,
        }
    }

    /// What is left, and an end for each image that has none. Nothing is heard after it.
    pub(crate) fn end(&mut self) -> Vec<BuildEvent> {
        self.events.close();
        let mut left = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            self.note(&event);
            left.push(event);
        }
        for mut event in std::mem::take(&mut self.open).into_values() {
            if let BuildEvent::ImagePull { state, .. } = &mut event {
                *state = PullState::Canceled;
            }
            left.push(event);
        }
        left
    }

    fn note(&mut self, event: &BuildEvent) {
        let BuildEvent::ImagePull { image, state, .. } = event else {
            return;
        };
        match state {
            PullState::Pulling | PullState::Unpacking => drop(self.open.insert(image.clone(), event.clone())),
            PullState::Ready | PullState::Failed | PullState::Canceled => drop(self.open.remove(image)),
        }
    }
}

#[cfg(test)]
mod tests {
    use hm_store::image::Unobserved;

    use super::*;

    const IMAGE: &str = "registry.example/o/i:t";

    fn told(events: &PullEvents, event: PullEvent<'_>) {
        events.event(IMAGE, event);
    }

    /// State, layers that are ready and bytes that came.
    fn short(events: Vec<BuildEvent>) -> Vec<(PullState, u32, u64)> {
        let short = |event| {
            let BuildEvent::ImagePull {
                state,
                layers_ready,
                bytes_done,
                ..
            } = event
            else {
                return None;
            };
            Some((state, layers_ready, bytes_done))
        };
        events.into_iter().filter_map(short).collect()
    }

    fn begin(events: &PullEvents, bytes: u64) {
        let digest = String::new();
        told(
            events,
            PullEvent::Resolved {
                digest,
                layers: 2,
                bytes,
            },
        );
    }

    #[test]
    fn a_pull_is_told_from_its_begin_to_its_end_and_not_for_each_piece() {
        let events = PullEvents::new(Arc::new(Unobserved));
        let mut build = events.listen();
        begin(&events, 100 << 20);
        for _ in 0..100 * 64 {
            let bytes = 16 << 10;
            told(&events, PullEvent::LayerBytes { layer: 0, bytes });
        }
        for layer in 0..2 {
            told(&events, PullEvent::LayerUnpacked { layer });
        }
        told(&events, PullEvent::Done);
        let all = short(build.end());
        assert_eq!(all.len(), 1 + 50 + 2 + 1);
        assert_eq!(all[0], (PullState::Pulling, 0, 0));
        assert_eq!(all[1], (PullState::Pulling, 0, 2 << 20));
        assert_eq!(all[53], (PullState::Ready, 2, 100 << 20));
    }

    #[test]
    fn what_fails_or_is_cut_short_has_an_end_too() {
        let events = PullEvents::new(Arc::new(Unobserved));
        let mut build = events.listen();
        begin(&events, 1);
        told(&events, PullEvent::Failed);
        begin(&events, 1);
        let states = |events: Vec<BuildEvent>| short(events).into_iter().map(|(state, ..)| state).collect::<Vec<_>>();
        assert_eq!(
            states(build.end()),
            [
                PullState::Pulling,
                PullState::Failed,
                PullState::Pulling,
                PullState::Canceled
            ]
        );
        // A build that comes later knows of what is under way; one that is over hears nothing.
        let mut later = events.listen();
        told(&events, PullEvent::Done);
        assert_eq!(states(later.end()), [PullState::Pulling, PullState::Ready]);
        assert_eq!(states(build.end()), []);
    }
}
