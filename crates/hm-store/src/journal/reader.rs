//! Reading a journal, while it is written or after.

use std::fs::{File, TryLockError};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hm_plugin_protocol::{BuildEvent, Sequenced, StepId, Stream};

use crate::error::FileError;
use crate::journal::error::JournalError;
use crate::journal::frame::Header;
use crate::journal::lines::split_first;
use crate::journal::open_logs::OpenLogs;
use crate::journal::record::{OutputRecord, Record, parse};
use crate::journal::writer::{EVENTS, JournalState};

/// Bytes of the event file that are read at once.
const READ: usize = 64 << 10;

/// A batch ends when its lines have this many bytes, so that long lines don't fill the memory.
const BATCH_BYTES: usize = 1 << 20;

/// How often the journal of another process is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Reads a journal at its own speed; what it has not read costs no memory.
#[derive(Debug)]
pub struct JournalReader {
    events: File,
    path: PathBuf,
    /// Of the event file's bytes that are not in `buffer` yet.
    position: u64,
    buffer: Vec<u8>,
    /// What of `buffer` was read.
    consumed: usize,
    next_seq: u64,
    logs: OpenLogs,
    output: Option<Output>,
    /// What tells that there is more; nothing for the journal of another process.
    live: Option<Arc<JournalState>>,
    ended: bool,
    torn: bool,
}

/// Lines of a log that are yet to be read.
#[derive(Debug)]
struct Output {
    record: OutputRecord,
    /// Where the next frame is.
    next_frame: u64,
    payload: Vec<u8>,
    consumed: usize,
    stream: Stream,
    time: String,
}

impl JournalReader {
    pub(super) fn live(state: Arc<JournalState>) -> Result<Self, JournalError> {
        let mut reader = Self::foreign(state.folder())?;
        reader.live = Some(state);
        Ok(reader)
    }

    pub(super) fn foreign(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(EVENTS);
        let events = File::open(&path).map_err(FileError::at("open", &path))?;
        Ok(Self {
            events,
            path,
            position: 0,
            buffer: Vec::new(),
            consumed: 0,
            next_seq: 0,
            logs: OpenLogs::new(folder),
            output: None,
            live: None,
            ended: false,
            torn: false,
        })
    }

    /// Up to `max` events (at least one) in order, as soon as there are any; nothing after the build's last event, or
    /// where the journal of a process that ended stops. May be cancelled without loss.
    ///
    /// It reads from files that were written moments ago, without leaving the thread. The journal of another process is
    /// looked at with tokio's timer.
    ///
    /// # Errors
    /// A file can't be read, or is damaged while its writer is well.
    pub async fn next_batch(&mut self, max: usize) -> Result<Option<Vec<Sequenced>>, JournalError> {
        loop {
            if let ControlFlow::Break(batch) = self.attempt(max)? {
                return Ok(batch);
            }
            match self.live.clone() {
                Some(state) => {
                    if let Some(batch) = state.wake.task(|| self.ready(max)).await {
                        return batch;
                    }
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// As [`JournalReader::next_batch`], on a thread that may wait.
    ///
    /// # Errors
    /// As there.
    pub fn next_batch_blocking(&mut self, max: usize) -> Result<Option<Vec<Sequenced>>, JournalError> {
        loop {
            if let ControlFlow::Break(batch) = self.attempt(max)? {
                return Ok(batch);
            }
            match self.live.clone() {
                Some(state) => {
                    if let Some(batch) = state.wake.thread(|| self.ready(max)) {
                        return batch;
                    }
                }
                None => std::thread::sleep(LOOK),
            }
        }
    }

    /// Whether the journal stopped without the build's last event: its writer was killed.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// [`JournalReader::attempt`] as [`crate::journal::wake::Wake`] wants it.
    fn ready(&mut self, max: usize) -> Option<Result<Option<Vec<Sequenced>>, JournalError>> {
        match self.attempt(max) {
            Ok(ControlFlow::Break(batch)) => Some(Ok(batch)),
            Ok(ControlFlow::Continue(())) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// A batch or the end, where either is there.
    fn attempt(&mut self, max: usize) -> Result<ControlFlow<Option<Vec<Sequenced>>>, JournalError> {
        if self.ended {
            return Ok(ControlFlow::Break(None));
        }
        match self.read(max) {
            Ok(batch) if !batch.is_empty() => return Ok(ControlFlow::Break(Some(batch))),
            Ok(_) | Err(JournalError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        // Asked before the second look, so that what its writer did last is seen.
        let writer_ended = self.writer_ended()?;
        let batch = match self.read(max) {
            // What was being written when the writer, or the machine, stopped.
            Err(JournalError::Damaged { .. }) if writer_ended => Vec::new(),
            other => other?,
        };
        if !batch.is_empty() {
            return Ok(ControlFlow::Break(Some(batch)));
        }
        if writer_ended {
            self.ended = true;
            self.torn = true;
            return Ok(ControlFlow::Break(None));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether nothing will be appended any more; what was is in the file.
    fn writer_ended(&self) -> Result<bool, JournalError> {
        if let Some(state) = &self.live {
            let closed = state.is_closed();
            state.flush()?;
            return Ok(closed);
        }
        match self.events.try_lock_shared() {
            Ok(()) => {
                self.events.unlock().map_err(FileError::at("unlock", &self.path))?;
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(FileError::at("lock", &self.path)(error).into()),
        }
    }

    /// What is in the files, up to `max` events.
    fn read(&mut self, max: usize) -> Result<Vec<Sequenced>, JournalError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < max.max(1) && bytes < BATCH_BYTES && !self.ended {
            let read = self.read_one();
            let event = match read {
                // What was read before it comes first; the next look meets it again.
                Err(_) if !batch.is_empty() => break,
                other => other?,
            };
            let Some(event) = event else { break };
            if let BuildEvent::StepLog { line, .. } = &event.event {
                bytes += line.len();
            }
            self.ended = matches!(event.event, BuildEvent::BuildEnd { .. });
            batch.push(event);
        }
        Ok(batch)
    }

    fn read_one(&mut self) -> Result<Option<Sequenced>, JournalError> {
        loop {
            if self.output.is_some() {
                if let Some(event) = self.read_line()? {
                    return Ok(Some(self.number(event)));
                }
                self.output = None;
            }
            match self.read_record()? {
                None => return Ok(None),
                Some(Record::Event(event)) => return Ok(Some(self.number(event))),
                Some(Record::Output(record)) => {
                    self.output = Some(Output {
                        record,
                        next_frame: record.at,
                        payload: Vec::new(),
                        consumed: 0,
                        stream: Stream::Stdout,
                        time: String::new(),
                    });
                }
            }
        }
    }

    fn number(&mut self, event: BuildEvent) -> Sequenced {
        let seq = self.next_seq;
        self.next_seq += 1;
        Sequenced { seq, event }
    }

    /// The next line of the output that is being read.
    fn read_line(&mut self) -> Result<Option<BuildEvent>, JournalError> {
        let Some(output) = &mut self.output else {
            return Ok(None);
        };
        while output.consumed == output.payload.len() {
            if output.next_frame >= output.record.at + output.record.length {
                return Ok(None);
            }
            let OutputRecord { step, part, .. } = output.record;
            let mut payload = std::mem::take(&mut output.payload);
            output.consumed = 0;
            let (header, end) = self.logs.frame(step, part, output.next_frame, &mut payload)?;
            output.payload = payload;
            output.next_frame = end;
            if let Header::Frame { stream, at, .. } = header {
                output.stream = stream;
                output.time = at.to_string();
            }
        }
        let (line, rest) = split_first(&output.payload[output.consumed..]);
        let line = String::from_utf8_lossy(line).into_owned();
        output.consumed = output.payload.len() - rest.len();
        let step_id: StepId = output.record.step_id;
        Ok(Some(BuildEvent::StepLog {
            step_id,
            stream: output.stream,
            line,
            ts: output.time.clone(),
        }))
    }

    /// The next whole line of the event file.
    fn read_record(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let unread = &mut self.buffer[self.consumed..];
            if let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
                let offset = self.position - unread.len() as u64;
                let parsed = parse(&mut unread[..end]);
                return match parsed {
                    Some((seq, record)) if seq == self.next_seq => {
                        self.consumed += end + 1;
                        Ok(Some(record))
                    }
                    _ => Err(JournalError::Damaged {
                        path: self.path.clone(),
                        offset,
                    }),
                };
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads more of the event file; says whether there was more.
    fn fill(&mut self) -> Result<bool, JournalError> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + READ, 0);
        let read = self.events.read_at(&mut self.buffer[kept..], self.position);
        let length = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(kept + length);
        self.position += length as u64;
        read.map_err(FileError::at("read", &self.path))?;
        Ok(length > 0)
    }
}
