//! A layer's file that is read while it is still being written.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::partial::Partial;

/// What is known of a layer's download; clones are the same one.
#[derive(Clone, Default, Debug)]
pub(in crate::image) struct Growing {
    shared: Arc<Shared>,
}

#[derive(Default, Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct State {
    phase: Phase,
    /// Open, so that it can be read to its end whatever becomes of its name.
    file: Option<Arc<File>>,
    written: u64,
    /// How often the layer came anew.
    round: u32,
    /// The round of which the last reader reads.
    opened: u32,
    /// Kept until the layer is unpacked, so that no other process loads it once more.
    done: Option<Partial>,
}

/// How far a download is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Phase {
    /// Nothing can be read yet.
    #[default]
    Waiting,
    /// The layer is unpacked already.
    Present,
    /// The file can be read as far as it goes.
    Coming,
    /// The file is all there.
    Whole,
    /// It will not come.
    Failed,
}

impl Growing {
    /// The end that writes; to be made once.
    pub(super) fn writer(&self) -> Writer {
        Writer { growing: self.clone() }
    }

    /// Waits until something can be said.
    pub(super) fn wait(&self) -> Phase {
        self.wait_while(|state| state.phase == Phase::Waiting).phase
    }

    /// Waits until no more comes.
    pub(super) fn wait_for_end(&self) -> Phase {
        self.wait_while(|state| matches!(state.phase, Phase::Waiting | Phase::Coming))
            .phase
    }

    /// The finished file, to be let go of.
    pub(super) fn take_done(&self) -> Option<Partial> {
        self.lock().done.take()
    }

    /// Whether the layer came anew since it was last opened, so that what was read is of no use.
    pub(super) fn came_anew(&self) -> bool {
        let state = self.lock();
        state.opened != state.round
    }

    /// A reader from the start. Reading waits for what isn't there yet.
    pub(in crate::image) fn open(&self) -> Option<impl Read + Send + use<>> {
        let mut state = self.wait_while(|state| state.phase == Phase::Waiting);
        let file = state.file.clone()?;
        state.opened = state.round;
        Some(Reader {
            growing: self.clone(),
            file,
            round: state.round,
            at: 0,
            readable: 0,
        })
    }

    fn wait_while(&self, waiting: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let condition = |state: &mut State| waiting(state);
        self.shared
            .changed
            .wait_while(self.lock(), condition)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells how the download gets on. When it is dropped before the end, the download has failed.
#[derive(Debug)]
pub(super) struct Writer {
    growing: Growing,
}

impl Writer {
    pub(super) fn present(self) {
        self.change(|state| state.phase = Phase::Present);
    }

    /// The file may be read from here on.
    pub(super) fn readable(&self, file: File) {
        self.change(|state| {
            state.file = Some(Arc::new(file));
            state.phase = Phase::Coming;
        });
    }

    /// What came is wrong, and the layer comes once more.
    pub(super) fn anew(&self) {
        self.change(|state| {
            state.round += 1;
            state.written = 0;
            state.file = None;
            state.phase = Phase::Waiting;
        });
    }

    pub(super) fn written(&self, written: u64) {
        self.change(|state| state.written = written);
    }

    /// All of it is there and right, in `file`.
    pub(super) fn whole(self, size: u64, file: File, partial: Partial) {
        self.change(|state| {
            state.written = size;
            state.file = Some(Arc::new(file));
            state.phase = Phase::Whole;
            state.done = Some(partial);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.growing.lock());
        self.growing.shared.changed.notify_all();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.change(|state| {
            if matches!(state.phase, Phase::Waiting | Phase::Coming) {
                state.phase = Phase::Failed;
            }
        });
    }
}

struct Reader {
    growing: Growing,
    file: Arc<File>,
    round: u32,
    at: u64,
    /// As far as the file is known to go.
    readable: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.readable {
            let (at, round) = (self.at, self.round);
            let state = self
                .growing
                .wait_while(|state| state.round == round && state.phase == Phase::Coming && state.written <= at);
            if state.phase == Phase::Failed || state.round != round {
                return Err(io::Error::other("the rest of the layer did not come"));
            }
            self.readable = state.written;
        }
        let want = usize::try_from(self.readable - self.at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let got = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}
