//! Compressed streams, told by their first bytes.

use std::io::{self, BufRead, Read};

/// The start of a gzip member (RFC 1952 §2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The start of a zstd frame (RFC 8878 §3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The start of a frame that zstd readers skip (RFC 8878 §3.1.2), after a byte from 0x50 to 0x5f.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// Starts of what is not read, and its names.
const UNKNOWN: [(&[u8], &str); 3] = [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")];

/// Whether the stream is compressed in a way that [`decompress`] knows.
pub(super) fn is_compressed(start: &[u8]) -> bool {
    start.starts_with(&GZIP) || is_zstd(start)
}

fn is_zstd(start: &[u8]) -> bool {
    let is_skippable = matches!(start, [0x50..=0x5f, rest @ ..] if rest.starts_with(&SKIPPABLE));
    start.starts_with(&ZSTD) || is_skippable
}

/// The bytes that the stream stands for.
pub(super) fn decompress<'a>(mut stream: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = stream.fill_buf()?;
    Ok(if start.starts_with(&GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(stream))
    } else if is_zstd(start) {
        Box::new(zstd::stream::read::Decoder::with_buffer(stream)?)
    } else if let Some((_, name)) = UNKNOWN.iter().find(|(magic, _)| start.starts_with(magic)) {
        let problem = format!("it is compressed with {name}; hm reads gzip and zstd");
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    } else {
        Box::new(stream)
    })
}
