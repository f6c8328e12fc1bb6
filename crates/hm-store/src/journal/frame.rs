//! The format of a step's log file: a file header, then frames, then a trailer where the output has ended.
//!
//! A frame is a header of [`HEADER`] bytes, little-endian, and its payload: whole lines with their ends as the command
//! wrote them. Only the last line of a payload may be without an end: a line's part of 1 MiB, or the last of the output.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | `hl`, or `ht` for the trailer |
//! | 2 | stream: 1 stdout, 2 stderr, 3 note; 0 in the trailer |
//! | 3 | 0, reserved |
//! | 4–7 | length of the payload |
//! | 8–15 | number of lines in the payload; in the trailer of all frames |
//! | 16–23 | time in nanoseconds since the epoch; 0 in the trailer |

use hm_plugin_protocol::Stream;
use jiff::Timestamp;

/// First bytes of the file: name and version of the format.
pub(super) const FILE_HEADER: [u8; 8] = *b"hmlog\0\0\x01";

/// Length of [`FILE_HEADER`].
pub(super) const FILE_HEADER_LENGTH: u64 = 8;

/// Length of a frame's header.
pub(super) const HEADER: usize = 24;

/// As [`HEADER`], for offsets.
pub(super) const HEADER_LENGTH: u64 = 24;

/// No payload is longer: a line's part and one chunk, with room.
pub(super) const LONGEST_PAYLOAD: usize = 4 << 20;

/// What stands before a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Header {
    Frame {
        stream: Stream,
        length: usize,
        lines: u64,
        at: Timestamp,
    },
    Trailer {
        lines: u64,
    },
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER] {
        let (magic, stream, length, lines, nanos) = match self {
            Self::Frame {
                stream,
                length,
                lines,
                at,
            } => {
                let nanos = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
                (
                    *b"hl",
                    stream_number(stream),
                    u32::try_from(length).unwrap_or(u32::MAX),
                    lines,
                    nanos,
                )
            }
            Self::Trailer { lines } => (*b"ht", 0, 0, lines, 0),
        };
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&magic);
        bytes[2] = stream;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..16].copy_from_slice(&lines.to_le_bytes());
        bytes[16..].copy_from_slice(&nanos.to_le_bytes());
        bytes
    }

    /// What the bytes say; nothing where they are no header.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (lines, nanos) = rest.split_first_chunk::<8>()?;
        let lines = u64::from_le_bytes(*lines);
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        match magic {
            [b'h', b't', 0, 0] if length == 0 => Some(Self::Trailer { lines }),
            [b'h', b'l', stream, 0] if length <= LONGEST_PAYLOAD => {
                let nanos = i64::from_le_bytes(nanos.try_into().ok()?);
                let at = Timestamp::from_nanosecond(i128::from(nanos)).ok()?;
                Some(Self::Frame {
                    stream: stream_of(*stream)?,
                    length,
                    lines,
                    at,
                })
            }
            _ => None,
        }
    }
}

pub(super) fn stream_number(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
        Stream::Note => 3,
    }
}

fn stream_of(number: u8) -> Option<Stream> {
    match number {
        1 => Some(Stream::Stdout),
        2 => Some(Stream::Stderr),
        3 => Some(Stream::Note),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_other_bytes_are_none() {
        let at = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
        for header in [
            Header::Frame {
                stream: Stream::Stderr,
                length: 65_536,
                lines: 7,
                at,
            },
            Header::Frame {
                stream: Stream::Note,
                length: 0,
                lines: 0,
                at,
            },
            Header::Trailer { lines: 5_000_000_000 },
        ] {
            assert_eq!(Header::decode(&header.encode()), Some(header));
        }
        assert_eq!(Header::decode(&[0; HEADER]), None);
        let mut long = Header::Frame {
            stream: Stream::Stdout,
            length: 1,
            lines: 1,
            at,
        }
        .encode();
        long[7] = 0xff;
        assert_eq!(Header::decode(&long), None);
    }
}
