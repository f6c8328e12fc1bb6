//! Writing a journal.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, StepId, Stream};
use jiff::Timestamp;

use crate::error::FileError;
use crate::journal::builds::{self, BuildMeta};
use crate::journal::error::JournalError;
use crate::journal::reader::JournalReader;
use crate::journal::record::{OutputRecord, put_event, put_output};
use crate::journal::replay;
use crate::journal::step_log::{self, StepLog};
use crate::journal::wake::Wake;
use crate::store::Store;

/// The event file's name in the folder of a build.
pub(super) const EVENTS: &str = "events.jsonl";

/// Records are written when there are this many bytes of them, or when someone wants to read them.
const BUFFER: usize = 64 << 10;

/// The journal of a build that runs; clones are the same one.
///
/// Output is in its file when [`Journal::append_output`] returns; an event when [`Journal::flush`] does, or when a
/// reader has seen it. When all clones are gone without the build's last event, readers end where the journal does.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<JournalState>,
    /// Readers share `inner` alone, so this counts the writers.
    _writers: Arc<Writers>,
}

/// What writers and the readers in this process share.
#[derive(Debug)]
pub(super) struct JournalState {
    store: Store,
    number: u64,
    folder: PathBuf,
    events: Mutex<EventFile>,
    logs: Mutex<HashMap<StepIndex, LogState>>,
    pub(super) wake: Wake,
    /// Nothing will be appended any more.
    closed: AtomicBool,
}

#[derive(Debug)]
struct EventFile {
    /// Locked (`flock(2)`) while the journal is written, so that readers of other processes know that it is.
    file: File,
    path: PathBuf,
    written: u64,
    buffer: Vec<u8>,
    next_seq: u64,
    ended: bool,
}

/// The logs of a step: `parts` files, the last of which may be open.
#[derive(Debug, Default)]
struct LogState {
    parts: u32,
    open: Option<Arc<Mutex<Option<StepLog>>>>,
}

#[derive(Debug)]
struct Writers(Arc<JournalState>);

impl Drop for Writers {
    fn drop(&mut self) {
        // Who cares for the last events flushes them, and learns then why they can't be written.
        self.0.flush().ok();
        // A reader may keep the file open for long.
        self.0.events().file.unlock().ok();
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.wake.wake();
    }
}

impl Journal {
    /// Begins the journal of a new build and gives it a number.
    ///
    /// # Errors
    /// The folder can't be made, or the index failed.
    pub fn create(store: &Store, meta: &BuildMeta) -> Result<Self, JournalError> {
        let number = builds::enter(store, meta)?;
        let folder = store.layout().build(number);
        let steps = folder.join("steps");
        fs::create_dir(&steps).map_err(FileError::at("make", &steps))?;
        let path = folder.join(EVENTS);
        let file = File::create_new(&path).map_err(FileError::at("make", &path))?;
        file.lock().map_err(FileError::at("lock", &path))?;
        let events = EventFile {
            file,
            path,
            written: 0,
            buffer: Vec::with_capacity(2 * BUFFER),
            next_seq: 0,
            ended: false,
        };
        let inner = Arc::new(JournalState {
            store: store.clone(),
            number,
            folder,
            events: Mutex::new(events),
            logs: Mutex::default(),
            wake: Wake::default(),
            closed: AtomicBool::new(false),
        });
        Ok(Self {
            _writers: Arc::new(Writers(Arc::clone(&inner))),
            inner,
        })
    }

    /// The build's number on this machine.
    pub fn number(&self) -> u64 {
        self.inner.number
    }

    /// The folder of the build.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Appends an event and gives its number.
    ///
    /// # Errors
    /// It can't be encoded, earlier ones can't be written, or the build has ended.
    pub fn append(&self, event: &BuildEvent) -> Result<u64, JournalError> {
        let json = serde_json::to_vec(event).map_err(JournalError::Encode)?;
        let is_last = matches!(event, BuildEvent::BuildEnd { .. });
        let seq = self.inner.events().put_event(&json, is_last)?;
        if let BuildEvent::BuildEnd { exit_code, status, .. } = event {
            self.inner.flush()?;
            builds::leave(&self.inner.store, self.inner.number, *exit_code, *status)?;
        }
        self.inner.wake.wake();
        Ok(seq)
    }

    /// Appends bytes that a step wrote, as they were read. Each line that they complete is an event; a line that they
    /// begin is one when its end comes, when it has grown beyond 1 MiB, or with [`Journal::finish_output`].
    ///
    /// # Errors
    /// The log can't be made or written, or the build has ended.
    pub fn append_output(
        &self,
        step: StepIndex,
        step_id: StepId,
        stream: Stream,
        at: Timestamp,
        bytes: &[u8],
    ) -> Result<(), JournalError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let shared = self.inner.open_log(step);
        let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let log = match &mut *guard {
            Some(log) => log,
            none => none.insert(self.inner.create_log(step, step_id)?),
        };
        log.append(stream, at, bytes, &mut |record| self.inner.put_output(&record))?;
        drop(guard);
        self.inner.wake.wake();
        Ok(())
    }

    /// Ends the output of a step's attempt: what has no line end becomes an event. Output that comes later goes to a
    /// file of its own.
    ///
    /// # Errors
    /// The log can't be written, or the build has ended.
    pub fn finish_output(&self, step: StepIndex) -> Result<(), JournalError> {
        let open = self.inner.logs().get_mut(&step).and_then(|log| log.open.take());
        let log = open.and_then(|open| open.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(log) = log {
            log.finish(&mut |record| self.inner.put_output(&record))?;
            self.inner.wake.wake();
        }
        Ok(())
    }

    /// The file of the step's last output, for [`crate::Cache::commit`]; none where it wrote nothing.
    pub fn log_path(&self, step: StepIndex) -> Option<PathBuf> {
        let parts = self.inner.logs().get(&step).map_or(0, |log| log.parts);
        parts
            .checked_sub(1)
            .map(|part| step_log::path(&self.inner.folder, step, part))
    }

    /// Appends the lines of another build's log as the output of `step`: the log gets a second name, whatever its size.
    ///
    /// # Errors
    /// The log can't be read or linked, or the build has ended.
    pub fn replay_log(&self, step: StepIndex, step_id: StepId, log: &Path) -> Result<(), JournalError> {
        let extent = replay::extent(log)?;
        let part = self.inner.new_part(step);
        replay::link(log, &step_log::path(&self.inner.folder, step, part))?;
        if extent.lines > 0 {
            let replay::Extent { lines, at, length } = extent;
            self.inner.put_output(&OutputRecord {
                step,
                step_id,
                lines,
                part,
                at,
                length,
            })?;
            self.inner.wake.wake();
        }
        Ok(())
    }

    /// Writes all events that were appended to the file.
    ///
    /// # Errors
    /// The file can't be written; nothing is lost while the journal stands, and a later flush tries again.
    pub fn flush(&self) -> Result<(), JournalError> {
        Ok(self.inner.flush()?)
    }

    /// A reader from the first event on.
    ///
    /// # Errors
    /// The event file can't be opened.
    pub fn reader(&self) -> Result<JournalReader, JournalError> {
        JournalReader::live(Arc::clone(&self.inner))
    }

    /// A reader of the build in `folder`: one that has ended, or one that another process runs.
    ///
    /// # Errors
    /// The event file can't be opened.
    pub fn open_reader(folder: &Path) -> Result<JournalReader, JournalError> {
        JournalReader::foreign(folder)
    }
}

impl JournalState {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn flush(&self) -> Result<(), FileError> {
        self.events().write()
    }

    fn put_output(&self, record: &OutputRecord) -> Result<(), JournalError> {
        self.events().put_output(record)
    }

    /// Makes the step's next log file.
    fn create_log(&self, step: StepIndex, step_id: StepId) -> Result<StepLog, FileError> {
        StepLog::create(&self.folder, step, step_id, self.new_part(step))
    }

    fn new_part(&self, step: StepIndex) -> u32 {
        let mut logs = self.logs();
        let parts = &mut logs.entry(step).or_default().parts;
        *parts += 1;
        *parts - 1
    }

    fn open_log(&self, step: StepIndex) -> Arc<Mutex<Option<StepLog>>> {
        Arc::clone(self.logs().entry(step).or_default().open.get_or_insert_default())
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<StepIndex, LogState>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, EventFile> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventFile {
    fn put_event(&mut self, json: &[u8], is_last: bool) -> Result<u64, JournalError> {
        if self.ended {
            return Err(JournalError::Ended);
        }
        self.make_room()?;
        let seq = self.next_seq;
        put_event(&mut self.buffer, seq, json);
        self.next_seq += 1;
        self.ended = is_last;
        Ok(seq)
    }

    fn put_output(&mut self, record: &OutputRecord) -> Result<(), JournalError> {
        if self.ended {
            return Err(JournalError::Ended);
        }
        self.make_room()?;
        put_output(&mut self.buffer, self.next_seq, record);
        self.next_seq += record.lines;
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), FileError> {
        if self.buffer.len() >= BUFFER {
            self.write()
        } else {
            Ok(())
        }
    }

    /// What could not be written whole is written again from its beginning.
    fn write(&mut self) -> Result<(), FileError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(FileError::at("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
