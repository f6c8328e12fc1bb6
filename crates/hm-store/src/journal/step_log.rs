//! Writing the log of one step.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{StepId, Stream};
use jiff::Timestamp;

use crate::error::FileError;
use crate::journal::error::JournalError;
use crate::journal::frame::{FILE_HEADER, FILE_HEADER_LENGTH, HEADER, Header, stream_number};
use crate::journal::lines;
use crate::journal::record::OutputRecord;
use crate::journal::tail::Tail;

/// The file of a step's output: the first attempt's, or a later `part`.
pub(super) fn path(build: &Path, step: StepIndex, part: u32) -> PathBuf {
    let step = step.as_u32();
    let name = if part == 0 {
        format!("{step}.log")
    } else {
        format!("{step}.{part}.log")
    };
    build.join("steps").join(name)
}

/// The open log of one step: one part, until its output is finished.
#[derive(Debug)]
pub(super) struct StepLog {
    step: StepIndex,
    step_id: StepId,
    part: u32,
    path: PathBuf,
    file: File,
    /// Where the next frame goes; a frame that could not be written whole is overwritten by the next.
    offset: u64,
    lines: u64,
    tails: [Tail; 3],
    /// When the last bytes of each stream arrived.
    arrived: [Timestamp; 3],
}

impl StepLog {
    pub(super) fn create(build: &Path, step: StepIndex, step_id: StepId, part: u32) -> Result<Self, FileError> {
        let path = path(build, step, part);
        let file = File::create_new(&path).map_err(FileError::at("make", &path))?;
        file.write_all_at(&FILE_HEADER, 0)
            .map_err(FileError::at("write", &path))?;
        Ok(Self {
            step,
            step_id,
            part,
            path,
            file,
            offset: FILE_HEADER_LENGTH,
            lines: 0,
            tails: Default::default(),
            arrived: [Timestamp::UNIX_EPOCH; 3],
        })
    }

    /// Writes the lines that `bytes` complete; each frame is given to `record` once it is in the file.
    pub(super) fn append(
        &mut self,
        stream: Stream,
        at: Timestamp,
        bytes: &[u8],
        record: &mut impl FnMut(OutputRecord) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let place = usize::from(stream_number(stream)) - 1;
        self.arrived[place] = at;
        let mut tail = std::mem::take(&mut self.tails[place]);
        let pushed = tail.push(bytes, &mut |frame| record(self.write(stream, at, frame)?));
        self.tails[place] = tail;
        pushed
    }

    /// Writes what has no line end yet, and the trailer.
    pub(super) fn finish(
        mut self,
        record: &mut impl FnMut(OutputRecord) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        for (place, stream) in [Stream::Stdout, Stream::Stderr, Stream::Note].into_iter().enumerate() {
            let at = self.arrived[place];
            let mut tail = std::mem::take(&mut self.tails[place]);
            tail.finish(&mut |frame| record(self.write(stream, at, frame)?))?;
        }
        let trailer = Header::Trailer { lines: self.lines }.encode();
        self.file
            .write_all_at(&trailer, self.offset)
            .map_err(FileError::at("write", &self.path))?;
        Ok(())
    }

    fn write(&mut self, stream: Stream, at: Timestamp, frame: &mut [u8]) -> Result<OutputRecord, FileError> {
        let lines = lines::count(&frame[HEADER..]);
        let header = Header::Frame {
            stream,
            length: frame.len() - HEADER,
            lines,
            at,
        };
        frame[..HEADER].copy_from_slice(&header.encode());
        self.file
            .write_all_at(frame, self.offset)
            .map_err(FileError::at("write", &self.path))?;
        let record = OutputRecord {
            step: self.step,
            step_id: self.step_id,
            lines,
            part: self.part,
            at: self.offset,
            length: frame.len() as u64,
        };
        self.offset += record.length;
        self.lines += lines;
        Ok(record)
    }
}
