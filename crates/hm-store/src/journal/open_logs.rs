//! The log files that a reader has open.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use hm_pipeline_ir::StepIndex;

use crate::error::FileError;
use crate::journal::error::JournalError;
use crate::journal::frame::{HEADER, HEADER_LENGTH, Header};
use crate::journal::step_log;

/// More steps than this seldom write at the same time.
const MOST: usize = 16;

/// The files that were read last.
#[derive(Debug)]
pub(super) struct OpenLogs {
    folder: PathBuf,
    files: VecDeque<((StepIndex, u32), File)>,
}

impl OpenLogs {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            files: VecDeque::new(),
        }
    }

    /// Reads the frame at `at` into `payload`, and gives its header and its end.
    pub(super) fn frame(
        &mut self,
        step: StepIndex,
        part: u32,
        at: u64,
        payload: &mut Vec<u8>,
    ) -> Result<(Header, u64), JournalError> {
        let path = step_log::path(&self.folder, step, part);
        let file = self.file(step, part, &path)?;
        let mut header = [0; HEADER];
        read_exact(file, &path, &mut header, at)?;
        let Some(Header::Frame {
            stream,
            length,
            lines,
            at: time,
        }) = Header::decode(&header)
        else {
            return Err(JournalError::Damaged { path, offset: at });
        };
        payload.clear();
        payload.resize(length, 0);
        read_exact(file, &path, payload, at + HEADER_LENGTH)?;
        Ok((
            Header::Frame {
                stream,
                length,
                lines,
                at: time,
            },
            at + HEADER_LENGTH + length as u64,
        ))
    }

    fn file(&mut self, step: StepIndex, part: u32, path: &Path) -> Result<&File, FileError> {
        let key = (step, part);
        if let Some(place) = self.files.iter().position(|(open, _)| *open == key) {
            self.files.swap(0, place);
        } else {
            let file = File::open(path).map_err(FileError::at("open", path))?;
            self.files.truncate(MOST - 1);
            self.files.push_front((key, file));
        }
        Ok(&self.files[0].1)
    }
}

fn read_exact(file: &File, path: &Path, buffer: &mut [u8], at: u64) -> Result<(), JournalError> {
    match file.read_exact_at(buffer, at) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(JournalError::Damaged {
            path: path.to_path_buf(),
            offset: at,
        }),
        other => Ok(other.map_err(FileError::at("read", path))?),
    }
}
