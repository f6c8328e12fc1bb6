//! Files by name, in a folder or in a tar archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::ImageError;
use super::compression::{decompress, is_compressed};
use super::registry::Growing;
use super::tar_stream::{TarError, TarKind, TarStream};
use crate::error::FileError;
use crate::files::remove_tree;

/// Greatest number of links from a name to a file.
const MAX_LINKS: usize = 16;

/// Where an image's parts are.
#[derive(Debug)]
pub(super) enum Blobs {
    /// Files of a folder.
    Folder(PathBuf),
    /// Files of an archive.
    Archive {
        /// The archive, for messages.
        path: PathBuf,
        /// It, or what it decompresses to.
        file: File,
        /// Its entries.
        entries: HashMap<Vec<u8>, Member>,
    },
    /// What a registry sends.
    Fetched {
        /// The image's name, for messages.
        origin: PathBuf,
        /// Whole files.
        documents: HashMap<String, Vec<u8>>,
        /// Files that may still be on their way, with the length that they will have.
        layers: HashMap<String, (Growing, u64)>,
    },
}

/// A file's bytes and their number.
pub(super) type Blob<'a> = (Box<dyn Read + Send + 'a>, u64);

#[derive(Debug)]
pub(super) enum Member {
    Data { at: u64, size: u64 },
    Link(Vec<u8>),
}

impl Blobs {
    /// Looks what an archive holds. Where it is compressed it is first decompressed to `temporary`, up to `limit`
    /// bytes.
    pub(super) fn of_archive(path: &Path, temporary: &Path, limit: u64) -> Result<Self, ImageError> {
        let file = File::open(path).map_err(FileError::at("open", path))?;
        let file = decompressed(file, path, temporary, limit)?;
        let entries = index(&file).map_err(|source| ImageError::Archive {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::Archive {
            path: path.to_owned(),
            file,
            entries,
        })
    }

    /// The layout or archive.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Archive { path, .. } => path,
            Self::Fetched { origin, .. } => origin,
        }
    }

    /// Whether files are only handed out as they should be.
    pub(super) fn are_checked(&self) -> bool {
        matches!(self, Self::Fetched { .. })
    }

    /// Opens a file and tells its length; `None` when it isn't there.
    pub(super) fn open(&self, name: &str) -> Result<Option<Blob<'_>>, FileError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let file = match File::open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    other => other.map_err(FileError::at("open", &path))?,
                };
                let metadata = file.metadata().map_err(FileError::at("look at", &path))?;
                Ok(metadata
                    .is_file()
                    .then(|| (Box::new(file) as Box<dyn Read + Send>, metadata.len())))
            }
            Self::Archive { file, entries, .. } => Ok(find(entries, name).map(|(at, size)| {
                let part = Part { file, at, left: size };
                (Box::new(part) as Box<dyn Read + Send>, size)
            })),
            Self::Fetched { documents, layers, .. } => {
                if let Some(bytes) = documents.get(name) {
                    return Ok(Some((Box::new(bytes.as_slice()), bytes.len() as u64)));
                }
                let layer = layers
                    .get(name)
                    .and_then(|(growing, size)| Some((growing.open()?, *size)));
                Ok(layer.map(|(reader, size)| (Box::new(reader) as Box<dyn Read + Send>, size)))
            }
        }
    }
}

/// A part of a file, read without moving the file's position.
struct Part<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let got = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

fn decompressed(mut file: File, path: &Path, temporary: &Path, limit: u64) -> Result<File, ImageError> {
    let mut start = [0; 4];
    let got = file.read_at(&mut start, 0).map_err(FileError::at("read", path))?;
    if !is_compressed(&start[..got]) {
        return Ok(file);
    }
    let mut out = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(temporary)
        .map_err(FileError::at("make", temporary))?;
    // Only the open file is used from here on.
    remove_tree(temporary)?;
    let copied =
        decompress(BufReader::new(&mut file)).and_then(|stream| io::copy(&mut stream.take(limit + 1), &mut out));
    let size = copied.map_err(FileError::at("decompress", path))?;
    if size > limit {
        let what = "the archive, decompressed,".to_owned();
        return Err(ImageError::TooLarge {
            path: path.to_owned(),
            what,
            size,
            limit,
        });
    }
    out.flush()
        .and_then(|()| out.seek(SeekFrom::Start(0)))
        .map_err(FileError::at("write", temporary))?;
    Ok(out)
}

fn index(file: &File) -> Result<HashMap<Vec<u8>, Member>, TarError> {
    let mut reader = file;
    reader
        .seek(SeekFrom::Start(0))
        .map_err(|source| TarError::Read { at: 0, source })?;
    let mut tar = TarStream::new(BufReader::with_capacity(256 * 1024, reader));
    let mut entries = HashMap::new();
    while let Some(entry) = tar.next()? {
        let Some(path) = clean(&entry.path) else { continue };
        let member = match entry.kind {
            // Holes have no place in a file that is read in one piece.
            TarKind::File if entry.pieces.iter().map(|(_, length)| length).sum::<u64>() == entry.size => Member::Data {
                at: entry.data_at,
                size: entry.size,
            },
            TarKind::HardLink => match clean(&entry.link) {
                Some(target) => Member::Link(target),
                None => continue,
            },
            // Old archives of `docker save` share layers this way.
            TarKind::Symlink => {
                let folder = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
                match clean(&[&path[..folder], &entry.link].concat()) {
                    Some(target) => Member::Link(target),
                    None => continue,
                }
            }
            TarKind::File
            | TarKind::Dir
            | TarKind::CharDevice
            | TarKind::BlockDevice
            | TarKind::Fifo
            | TarKind::Other => continue,
        };
        entries.insert(path, member);
    }
    Ok(entries)
}

fn find(entries: &HashMap<Vec<u8>, Member>, name: &str) -> Option<(u64, u64)> {
    let mut name = clean(name.as_bytes())?;
    for _ in 0..MAX_LINKS {
        match entries.get(&name)? {
            Member::Data { at, size } => return Some((*at, *size)),
            Member::Link(target) => name.clone_from(target),
        }
    }
    None
}

/// The path without `.` and `..`; `None` if it leads out of the archive.
fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}
