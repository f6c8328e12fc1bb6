//! Reads on a thread of its own what another one works on.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes that are handed over at once.
const PIECE: usize = 256 * 1024;
/// Pieces that may wait.
const WAITING: usize = 8;

/// The end that is written to.
pub(super) struct Ahead {
    pieces: SyncSender<io::Result<Vec<u8>>>,
    used: Receiver<Vec<u8>>,
}

/// The end that is read from.
pub(super) struct Behind {
    pieces: Receiver<io::Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

/// Two ends of one stream.
pub(super) fn ahead_and_behind() -> (Ahead, Behind) {
    let (to_behind, pieces) = sync_channel(WAITING);
    let (give_back, used) = sync_channel(WAITING + 2);
    let ahead = Ahead {
        pieces: to_behind,
        used,
    };
    let behind = Behind {
        pieces,
        used: give_back,
        piece: Vec::new(),
        at: 0,
    };
    (ahead, behind)
}

impl Ahead {
    /// Reads to the end, or until nobody wants more. An error is for the other end.
    pub(super) fn read_all(self, mut reader: impl Read) {
        loop {
            let mut piece = self.used.try_recv().unwrap_or_else(|_| vec![0; PIECE]);
            piece.resize(PIECE, 0);
            let read = fill(&mut reader, &mut piece);
            let is_last = !matches!(read, Ok(PIECE));
            let handed = self.pieces.send(read.map(|got| {
                piece.truncate(got);
                piece
            }));
            if is_last || handed.is_err() {
                return;
            }
        }
    }

    /// Tells the other end of an error.
    pub(super) fn fail(self, error: io::Error) {
        // Where nobody wants more nobody wants to know.
        self.pieces.send(Err(error)).ok();
    }
}

/// As much as fits or is there.
fn fill(reader: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < piece.len() {
        match reader.read(&mut piece[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

impl Read for Behind {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            let Ok(next) = self.pieces.recv() else { return Ok(0) };
            let before = std::mem::replace(&mut self.piece, next?);
            self.at = 0;
            if before.capacity() > 0 {
                // The other end may have ended.
                self.used.try_send(before).ok();
            }
        }
        let got = buffer.len().min(self.piece.len() - self.at);
        buffer[..got].copy_from_slice(&self.piece[self.at..self.at + got]);
        self.at += got;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives bytes in odd pieces, then maybe an error.
    struct Odd(usize, bool);

    impl Read for Odd {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 && self.1 {
                return Err(io::Error::other("no more"));
            }
            let got = buffer.len().min(self.0).min(7001);
            buffer[..got].fill(3);
            self.0 -= got;
            Ok(got)
        }
    }

    fn read(length: usize, fails: bool) -> (usize, bool) {
        let (ahead, mut behind) = ahead_and_behind();
        std::thread::scope(|scope| {
            scope.spawn(|| ahead.read_all(Odd(length, fails)));
            let mut bytes = Vec::new();
            let end = behind.read_to_end(&mut bytes);
            assert!(bytes.iter().all(|byte| *byte == 3));
            (bytes.len(), end.is_err())
        })
    }

    #[test]
    fn all_comes_in_order() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 17] {
            assert_eq!(read(length, false), (length, false));
        }
    }

    #[test]
    fn errors_come_through() {
        assert!(read(3 * PIECE, true).1);
    }

    #[test]
    fn one_who_stops_reading_stops_the_other() {
        let (ahead, behind) = ahead_and_behind();
        std::thread::scope(|scope| {
            scope.spawn(|| ahead.read_all(io::repeat(3)));
            drop(behind);
        });
    }
}
