//! Showing a cached step's log again: the same file under another name, and one record for all of its lines.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::FileError;
use crate::journal::error::JournalError;
use crate::journal::frame::{FILE_HEADER, FILE_HEADER_LENGTH, HEADER, HEADER_LENGTH, Header};

/// The frames of a log file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    pub(super) lines: u64,
    pub(super) at: u64,
    pub(super) length: u64,
}

/// Gives `log` the name `to`.
pub(super) fn link(log: &Path, to: &Path) -> Result<(), FileError> {
    match fs::hard_link(log, to) {
        Err(error) if matches!(error.kind(), ErrorKind::CrossesDevices | ErrorKind::TooManyLinks) => {
            fs::copy(log, to).map_err(FileError::at("copy", log))?;
            Ok(())
        }
        other => other.map_err(FileError::at("link", log)),
    }
}

/// Where the frames of a log are and how many lines they have: read off the trailer, or counted where the log has
/// none. Frames that were cut off don't count.
pub(super) fn extent(path: &Path) -> Result<Extent, JournalError> {
    let file = File::open(path).map_err(FileError::at("open", path))?;
    let length = file.metadata().map_err(FileError::at("read", path))?.len();
    let mut start = [0; FILE_HEADER.len()];
    file.read_exact_at(&mut start, 0).map_err(FileError::at("read", path))?;
    if start != FILE_HEADER {
        return Err(JournalError::Damaged {
            path: path.to_path_buf(),
            offset: 0,
        });
    }
    if let Some(end) = length
        .checked_sub(HEADER_LENGTH)
        .filter(|&end| end >= FILE_HEADER_LENGTH)
        && let Some(Header::Trailer { lines }) = header_at(&file, end).map_err(FileError::at("read", path))?
    {
        return Ok(Extent {
            lines,
            at: FILE_HEADER_LENGTH,
            length: end - FILE_HEADER_LENGTH,
        });
    }
    count(&file, length).map_err(|error| FileError::at("read", path)(error).into())
}

fn count(file: &File, length: u64) -> io::Result<Extent> {
    let mut extent = Extent {
        lines: 0,
        at: FILE_HEADER_LENGTH,
        length: 0,
    };
    loop {
        let at = extent.at + extent.length;
        let Some(Header::Frame {
            length: payload, lines, ..
        }) = header_at(file, at)?
        else {
            return Ok(extent);
        };
        let end = at + HEADER_LENGTH + payload as u64;
        if end > length {
            return Ok(extent);
        }
        extent.length = end - extent.at;
        extent.lines += lines;
    }
}

fn header_at(file: &File, at: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(Header::decode(&bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
