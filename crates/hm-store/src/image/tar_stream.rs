//! Reads a tar archive entry by entry: ustar, GNU (long names, sparse files) and PAX (tar(5), POSIX.1-2001 pax).
//!
//! Whatever the archive says, memory stays bounded: headers that extend others have limits of their own.

use std::io::{self, Read};

use tar::Header;
use thiserror::Error;

use super::pax::{PaxError, PaxRecords};

const BLOCK: usize = 512;
/// Greatest length of a name that GNU extension headers give.
const MAX_NAME: u64 = 64 * 1024;
/// Greatest length of the PAX records of one entry.
const MAX_PAX: u64 = 4 * 1024 * 1024;
/// Greatest length of a sparse file's map.
const MAX_MAP: usize = 32 * 1024 * 1024;
/// Greatest number of data pieces of a sparse file.
const MAX_PIECES: usize = 1 << 20;

/// Why an archive can't be read.
#[derive(Debug, Error)]
pub enum TarError {
    /// Reading failed, or the archive ends in the middle.
    #[error("the archive can't be read at byte {at}")]
    Read {
        /// Where, in the uncompressed archive.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// A header's checksum is wrong: this is no tar archive, or it is damaged.
    #[error("no valid tar header at byte {at}")]
    Header {
        /// Where.
        at: u64,
    },
    /// A header's number can't be read.
    #[error("the tar header at byte {at} has a bad {what}")]
    Field {
        /// Where.
        at: u64,
        /// Which number.
        what: &'static str,
    },
    /// An extension header is larger than any real one.
    #[error("the {what} at byte {at} is {size} bytes long; at most {limit} are read")]
    TooLong {
        /// Where.
        at: u64,
        /// What it is.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// PAX records that break their format.
    #[error("bad PAX records at byte {at}")]
    Pax {
        /// Where.
        at: u64,
        /// Why.
        source: PaxError,
    },
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TarKind {
    File,
    HardLink,
    Symlink,
    Dir,
    CharDevice,
    BlockDevice,
    Fifo,
    /// Of no use for a file system.
    Other,
}

/// One entry. Its content is read with [`TarStream::read_piece`].
#[derive(Debug)]
pub(super) struct TarEntry {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: TarKind,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime_ns: i128,
    /// Length of the file, holes included.
    pub(super) size: u64,
    pub(super) device: (u32, u32),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Offset and length of what is not a hole, in the order of the data.
    pub(super) pieces: Vec<(u64, u64)>,
    /// Where the data starts in the archive.
    pub(super) data_at: u64,
}

/// A reader of archives.
pub(super) struct TarStream<R> {
    reader: R,
    at: u64,
    /// Data of the entry that is not read yet.
    left: u64,
    /// Zeros after it.
    padding: u64,
}

impl<R: Read> TarStream<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            at: 0,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry; what is left of the last one's data is passed over.
    pub(super) fn next(&mut self) -> Result<Option<TarEntry>, TarError> {
        let mut long_path = None;
        let mut long_link = None;
        let mut pax = PaxRecords::default();
        loop {
            self.skip_rest()?;
            let at = self.at;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let extends = kind.is_gnu_longname()
                || kind.is_gnu_longlink()
                || kind.is_pax_local_extensions()
                || kind.is_pax_global_extensions();
            let stored = match pax.size() {
                _ if is_header_only(&header, long_path.as_deref()) => 0,
                Some(size) if !extends => size,
                _ => header.entry_size().map_err(|_| TarError::Field { at, what: "size" })?,
            };
            self.left = stored;
            self.padding = stored.wrapping_neg() % BLOCK as u64;
            if kind.is_gnu_longname() {
                long_path = Some(self.name("long name")?);
            } else if kind.is_gnu_longlink() {
                long_link = Some(self.name("long link target")?);
            } else if kind.is_pax_local_extensions() {
                let bytes = self.small(MAX_PAX, "PAX header")?;
                pax = PaxRecords::parse(&bytes).map_err(|source| TarError::Pax { at, source })?;
            } else if kind.is_pax_global_extensions() {
                // They carry comments (git archive) and nothing that a layer's file needs.
            } else {
                return self.entry(&header, at, long_path, long_link, &pax).map(Some);
            }
        }
    }

    /// Reads the entry's data from where the last call ended; zero at its end.
    pub(super) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let want = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if want == 0 {
            return Ok(0);
        }
        let at = self.at;
        let got = loop {
            match self.reader.read(&mut buffer[..want]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match got {
            Ok(0) => Err(TarError::Read {
                at,
                source: io::ErrorKind::UnexpectedEof.into(),
            }),
            Ok(got) => {
                self.at += got as u64;
                self.left -= got as u64;
                Ok(got)
            }
            Err(source) => Err(TarError::Read { at, source }),
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        at: u64,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        pax: &PaxRecords,
    ) -> Result<TarEntry, TarError> {
        let bad = |what| TarError::Field { at, what };
        let kind = kind_of(header, long_path.as_deref());
        let fields = header.as_old();
        let mut entry = TarEntry {
            path: pax
                .path()
                .or(long_path)
                .unwrap_or_else(|| header.path_bytes().into_owned()),
            link: pax
                .link_path()
                .or(long_link)
                .or_else(|| header.link_name_bytes().map(Into::into))
                .unwrap_or_default(),
            kind,
            mode: or_empty(&fields.mode, header.mode()).map_err(|_| bad("mode"))? & 0o7777,
            uid: pax
                .number("uid")
                .map_or_else(|| or_empty(&fields.uid, header.uid()), Ok)
                .map_err(|_| bad("uid"))?,
            gid: pax
                .number("gid")
                .map_or_else(|| or_empty(&fields.gid, header.gid()), Ok)
                .map_err(|_| bad("gid"))?,
            mtime_ns: if let Some(ns) = pax.mtime_ns() {
                ns
            } else {
                let seconds = or_empty(&fields.mtime, header.mtime()).map_err(|_| bad("mtime"))?;
                i128::from(seconds.cast_signed()) * 1_000_000_000
            },
            size: self.left,
            device: (0, 0),
            xattrs: pax.xattrs(),
            pieces: Vec::new(),
            data_at: self.at,
        };
        if matches!(kind, TarKind::CharDevice | TarKind::BlockDevice) {
            let number = |number: io::Result<Option<u32>>| number.ok().flatten().ok_or(bad("device number"));
            entry.device = (number(header.device_major())?, number(header.device_minor())?);
        }
        if kind == TarKind::File {
            self.sparse_pieces(header, at, pax, &mut entry)?;
            entry.data_at = self.at;
        }
        Ok(entry)
    }

    /// Finds out which parts of the file the data is, in all forms that GNU tar writes (tar manual, "Sparse Formats").
    fn sparse_pieces(
        &mut self,
        header: &Header,
        at: u64,
        pax: &PaxRecords,
        entry: &mut TarEntry,
    ) -> Result<(), TarError> {
        let bad = || TarError::Field {
            at,
            what: "map of a sparse file",
        };
        if header.entry_type().is_gnu_sparse() {
            let gnu = header.as_gnu().ok_or_else(bad)?;
            entry.size = gnu.real_size().map_err(|_| bad())?;
            let mut more = gnu.is_extended();
            let mut pieces = piece_list(&gnu.sparse).ok_or_else(bad)?;
            while more {
                let mut extension = tar::GnuExtSparseHeader::new();
                self.exactly(extension.as_mut_bytes())?;
                pieces.extend(piece_list(&extension.sparse).ok_or_else(bad)?);
                more = extension.is_extended();
                if pieces.len() > MAX_PIECES {
                    return Err(bad());
                }
            }
            entry.pieces = pieces;
        } else if let Some(name) = pax.sparse_name() {
            entry.path = name;
            entry.size = pax.sparse_size().ok_or_else(bad)?;
            entry.pieces = match pax.sparse_map() {
                Some(pieces) => pieces.map_err(|_| bad())?,
                None => self.map_before_data(at)?,
            };
        } else if let Some(pieces) = pax.sparse_map() {
            entry.size = pax.sparse_size().ok_or_else(bad)?;
            entry.pieces = pieces.map_err(|_| bad())?;
        } else {
            entry.pieces = vec![(0, entry.size)];
            return Ok(());
        }
        // The pieces have to be the data, no more and no less, in order and inside the file.
        let mut end = 0_u64;
        let mut data = 0_u64;
        for (offset, length) in &entry.pieces {
            if *offset < end {
                return Err(bad());
            }
            end = offset
                .checked_add(*length)
                .filter(|end| *end <= entry.size)
                .ok_or_else(bad)?;
            data += length;
        }
        if data == self.left { Ok(()) } else { Err(bad()) }
    }

    /// The map of format 1.0: decimal numbers, one a line, in front of the data and padded to whole blocks.
    fn map_before_data(&mut self, at: u64) -> Result<Vec<(u64, u64)>, TarError> {
        let bad = || TarError::Field {
            at,
            what: "map of a sparse file",
        };
        let mut text = Vec::new();
        let mut lines = 0;
        let mut wanted: Option<usize> = None;
        loop {
            let mut block = [0; BLOCK];
            if self.left < BLOCK as u64 || text.len() > MAX_MAP {
                return Err(bad());
            }
            self.exactly(&mut block)?;
            self.left -= BLOCK as u64;
            text.extend_from_slice(&block);
            lines += block.split(|byte| *byte == b'\n').count() - 1;
            if wanted.is_none() && lines > 0 {
                let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let count = decimal(first)
                    .and_then(|count| usize::try_from(count).ok())
                    .ok_or_else(bad)?;
                wanted = Some(1 + count.checked_mul(2).filter(|_| count <= MAX_PIECES).ok_or_else(bad)?);
            }
            if wanted.is_some_and(|wanted| lines >= wanted) {
                break;
            }
        }
        let numbers: Option<Vec<u64>> = text
            .split(|byte| *byte == b'\n')
            .skip(1)
            .take(wanted.unwrap_or(1) - 1)
            .map(decimal)
            .collect();
        Ok(numbers
            .ok_or_else(bad)?
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect())
    }

    /// The next header; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut header = Header::new_old();
        let at = self.at;
        let bytes = header.as_mut_bytes();
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => {
                    return Err(TarError::Read {
                        at,
                        source: io::ErrorKind::UnexpectedEof.into(),
                    });
                }
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { at, source }),
            }
        }
        self.at += BLOCK as u64;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = bytes[..148]
            .iter()
            .chain(&bytes[156..])
            .map(|byte| u32::from(*byte))
            .sum::<u32>()
            + 8 * 32;
        if header.cksum().ok() == Some(sum) {
            Ok(Some(header))
        } else {
            Err(TarError::Header { at })
        }
    }

    fn name(&mut self, what: &'static str) -> Result<Vec<u8>, TarError> {
        let mut name = self.small(MAX_NAME, what)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn small(&mut self, limit: u64, what: &'static str) -> Result<Vec<u8>, TarError> {
        let size = self.left;
        let length = usize::try_from(size).ok().filter(|_| size <= limit);
        let length = length.ok_or(TarError::TooLong {
            at: self.at,
            what,
            size,
            limit,
        })?;
        let mut bytes = vec![0; length];
        self.exactly(&mut bytes)?;
        self.left = 0;
        Ok(bytes)
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), TarError> {
        self.reader
            .read_exact(bytes)
            .map_err(|source| TarError::Read { at: self.at, source })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let rest = self.left.checked_add(self.padding).ok_or(TarError::Field {
            at: self.at,
            what: "size",
        })?;
        if rest == 0 {
            return Ok(());
        }
        let skipped = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())
            .map_err(|source| TarError::Read { at: self.at, source })?;
        if skipped < rest {
            return Err(TarError::Read {
                at: self.at,
                source: io::ErrorKind::UnexpectedEof.into(),
            });
        }
        self.at += rest;
        self.left = 0;
        self.padding = 0;
        Ok(())
    }
}

fn kind_of(header: &Header, long_path: Option<&[u8]>) -> TarKind {
    match header.entry_type().as_byte() {
        // Before ustar a folder was a file whose name ends in a slash.
        b'0' | 0 if long_path.unwrap_or(&header.path_bytes()).ends_with(b"/") => TarKind::Dir,
        b'0' | 0 | b'7' | b'S' => TarKind::File,
        b'1' => TarKind::HardLink,
        b'2' => TarKind::Symlink,
        b'3' => TarKind::CharDevice,
        b'4' => TarKind::BlockDevice,
        b'5' => TarKind::Dir,
        b'6' => TarKind::Fifo,
        _ => TarKind::Other,
    }
}

/// Whether no data follows, whatever the header gives as the size: no reader looks for any behind a link, a device, a
/// folder or a pipe.
fn is_header_only(header: &Header, long_path: Option<&[u8]>) -> bool {
    match header.as_old().linkflag[0] {
        b'1'..=b'6' => true,
        0 => kind_of(header, long_path) == TarKind::Dir,
        _ => false,
    }
}

fn piece_list(headers: &[tar::GnuSparseHeader]) -> Option<Vec<(u64, u64)>> {
    headers
        .iter()
        .filter(|piece| !piece.is_empty())
        .map(|piece| Some((piece.offset().ok()?, piece.length().ok()?)))
        .collect()
}

/// A field that its writer left empty is 0, as it is for GNU tar and for Docker.
fn or_empty<T: Default>(field: &[u8], number: io::Result<T>) -> io::Result<T> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(T::default());
    }
    number
}

/// A number in decimal digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
