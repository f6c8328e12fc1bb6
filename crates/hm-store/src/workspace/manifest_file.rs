//! A manifest on disk.
//!
//! All numbers are little-endian. The file is: [`MAGIC`], the count of entries (u64), the entries, BLAKE3 of everything
//! before. An entry is: kind (`f`, `d`, `l`), mode (u32), mtime (i128), length of the path (u32), the path, then for a
//! file its size (u64) and hash (32 bytes), for a link the length of its target (u32) and the target.

use super::manifest::{Entry, EntryKind, FileHash, Manifest};

/// First bytes of the file; the number is the version of the format.
const MAGIC: &[u8; 16] = b"hm-manifest 001\n";
const CHECKSUM: usize = 32;

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestFormatError {
    /// The first bytes are of another version or of something else.
    #[error("this is not a manifest of the version that this hm knows (it starts with {found:?})")]
    Version {
        /// The first bytes.
        found: String,
    },
    /// The bytes are not those that were written.
    #[error("the manifest is damaged: its checksum doesn't fit")]
    Checksum,
    /// The bytes end too early or go on too long.
    #[error("the manifest is damaged: wrong length at byte {at}")]
    Length {
        /// Where.
        at: usize,
    },
    /// An entry has an unknown kind.
    #[error("the manifest is damaged: unknown kind of entry {kind:#04x} at byte {at}")]
    Kind {
        /// The kind.
        kind: u8,
        /// Where.
        at: usize,
    },
}

/// The bytes of the file.
pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let entries = manifest.entries();
    let mut out = Vec::with_capacity(MAGIC.len() + 8 + entries.len() * 128 + CHECKSUM);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    for entry in entries {
        out.push(match &entry.kind {
            EntryKind::File { .. } => b'f',
            EntryKind::Dir => b'd',
            EntryKind::Symlink { .. } => b'l',
        });
        out.extend_from_slice(&entry.mode.to_le_bytes());
        out.extend_from_slice(&entry.mtime_ns.to_le_bytes());
        put_bytes(&mut out, &entry.path);
        match &entry.kind {
            EntryKind::File { size, hash } => {
                out.extend_from_slice(&size.to_le_bytes());
                out.extend_from_slice(&hash.0);
            }
            EntryKind::Dir => {}
            EntryKind::Symlink { target } => put_bytes(&mut out, target),
        }
    }
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("paths and link targets are shorter than PATH_MAX");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The manifest that the bytes hold.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, ManifestFormatError> {
    if !bytes.starts_with(MAGIC) {
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        return Err(ManifestFormatError::Version {
            found: String::from_utf8_lossy(start).into_owned(),
        });
    }
    let body_end = bytes.len().saturating_sub(CHECKSUM).max(MAGIC.len());
    let (body, checksum) = bytes.split_at(body_end);
    if blake3::hash(body).as_bytes().as_slice() != checksum {
        return Err(ManifestFormatError::Checksum);
    }
    let mut reader = Reader {
        bytes: body,
        at: MAGIC.len(),
    };
    let count = u64::from_le_bytes(reader.array()?);
    let mut entries = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(body.len() / 25));
    for _ in 0..count {
        entries.push(reader.entry()?);
    }
    if reader.at != body.len() {
        return Err(ManifestFormatError::Length { at: reader.at });
    }
    Ok(Manifest::new(entries))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn entry(&mut self) -> Result<Entry, ManifestFormatError> {
        let at = self.at;
        let [kind] = self.array()?;
        let mode = u32::from_le_bytes(self.array()?);
        let mtime_ns = i128::from_le_bytes(self.array()?);
        let path = self.sized()?.into();
        let kind = match kind {
            b'f' => EntryKind::File {
                size: u64::from_le_bytes(self.array()?),
                hash: FileHash(self.array()?),
            },
            b'd' => EntryKind::Dir,
            b'l' => EntryKind::Symlink {
                target: self.sized()?.into(),
            },
            kind => return Err(ManifestFormatError::Kind { kind, at }),
        };
        Ok(Entry {
            path,
            kind,
            mode,
            mtime_ns,
        })
    }

    fn sized(&mut self) -> Result<&'a [u8], ManifestFormatError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        self.take(length)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestFormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ManifestFormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(ManifestFormatError::Length { at: self.at })?;
        self.at += length;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::testing::{dir, file, link};
    use super::*;

    fn sample() -> Manifest {
        let mut odd = file("d/\u{fc}", "x");
        odd.path = b"d/\xff\xfe".as_slice().into();
        odd.mtime_ns = -5_000_000_001;
        Manifest::new(vec![dir("d"), odd, link("l", "../nowhere")])
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = encode(&sample());
        assert_eq!(decode(&bytes).unwrap(), sample());
        assert_eq!(decode(&encode(&Manifest::default())).unwrap(), Manifest::default());
    }

    #[test]
    fn version_one_stays_readable() {
        let bytes = encode(&Manifest::new(vec![dir("a")]));
        let mut expected = b"hm-manifest 001\n".to_vec();
        expected.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, b'd', 0xed, 0x01, 0, 0]);
        expected.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'a']);
        assert_eq!(bytes[..bytes.len() - CHECKSUM], expected);
    }

    #[test]
    fn damage_is_found() {
        let bytes = encode(&sample());
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "flipped at {at}");
        }
    }
}
