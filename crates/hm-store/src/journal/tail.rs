//! From the bytes of one stream, as they were read, to payloads of whole lines.

use crate::journal::frame::HEADER;
use crate::journal::lines::{LONGEST_LINE, part_length};

/// Bytes are taken in slices of at most this many, so that a payload is never much longer.
const SLICE: usize = 64 << 10;

/// An idle buffer isn't kept larger than this.
const KEPT: usize = 2 * SLICE;

/// The beginning of a line of one stream that isn't complete yet.
///
/// Room for a frame's header stands before it, so that a frame is written from one buffer and its bytes are copied
/// once.
#[derive(Debug)]
pub(super) struct Tail {
    buffer: Vec<u8>,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            buffer: vec![0; HEADER],
        }
    }
}

impl Tail {
    /// Takes bytes, and hands each payload that they complete to `frame`: a buffer of which the first [`HEADER`] bytes
    /// are free.
    pub(super) fn push<E>(
        &mut self,
        bytes: &[u8],
        frame: &mut impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for slice in bytes.chunks(SLICE) {
            let unfinished = self.buffer.len();
            self.buffer.extend_from_slice(slice);
            self.cut_parts(unfinished, frame)?;
            let searched = self.buffer.len() - slice.len().min(self.buffer.len() - HEADER);
            if let Some(end) = self.buffer[searched..].iter().rposition(|&byte| byte == b'\n') {
                self.take(searched + end + 1, frame)?;
            }
        }
        Ok(())
    }

    /// Hands over what has no line end, as the stream has ended.
    pub(super) fn finish<E>(&mut self, frame: &mut impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
        if self.buffer.len() == HEADER {
            return Ok(());
        }
        self.take(self.buffer.len(), frame)
    }

    /// Hands over parts of the first line while it is too long; `unfinished` bytes of the buffer are known to have no
    /// line end.
    fn cut_parts<E>(
        &mut self,
        mut unfinished: usize,
        frame: &mut impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.buffer.len() - HEADER > LONGEST_LINE {
            let end = self.buffer[unfinished..].iter().position(|&byte| byte == b'\n');
            if end.is_some_and(|end| unfinished + end - HEADER <= LONGEST_LINE) {
                break;
            }
            let part = HEADER + part_length(&self.buffer[HEADER..]);
            self.take(part, frame)?;
            unfinished = HEADER;
        }
        Ok(())
    }

    /// Hands over the buffer up to `end` and keeps the rest.
    fn take<E>(&mut self, end: usize, frame: &mut impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
        frame(&mut self.buffer[..end])?;
        self.buffer.copy_within(end.., HEADER);
        self.buffer.truncate(HEADER + self.buffer.len() - end);
        if self.buffer.capacity() > KEPT && self.buffer.len() < SLICE {
            self.buffer.shrink_to(KEPT);
        }
        Ok(())
    }
}
