//! The hash of what a layer holds.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use blake3::Hasher;
use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::FileError;
use crate::files::{OPEN_FOLDER, entries, open_readable, overlay_attribute, read_attributes};
use crate::ids::ContentHash;
use crate::snapshot::error::SnapshotError;

const BUFFER: usize = 256 << 10;

/// Hashes names, types, modes, owners, extended attributes, link targets, contents and the overlay's marks for what is
/// removed, of the folder `layer` and all in it, in the order of names.
///
/// Each field has a fixed length or is preceded by its length, and folders end with a mark of their own, so that two
/// different layers never give the same bytes.
pub(crate) fn layer_hash(layer: &Path) -> Result<ContentHash, SnapshotError> {
    let mut walk = Walk {
        hasher: Hasher::new_derive_key("hm-store layer 1"),
        linked: HashMap::new(),
        buffer: vec![0; BUFFER],
        path: layer.to_path_buf(),
    };
    walk.layer(layer)?;
    Ok(walk.hasher.finalize().into())
}

struct Walk {
    hasher: Hasher,
    /// Contents of files with several names, by inode.
    linked: HashMap<u64, blake3::Hash>,
    buffer: Vec<u8>,
    /// Where the walk is, for errors.
    path: PathBuf,
}

/// Tags of what follows; part of the format.
const FOLDER: u8 = 1;
const FILE: u8 = 2;
const LINK: u8 = 3;
const DEVICE: u8 = 4;
const FIFO: u8 = 5;
const SOCKET: u8 = 6;
const WHITEOUT: u8 = 7;
const END: u8 = 8;

impl Walk {
    /// One open folder at a time, whatever the depth: the way up is `..`.
    fn layer(&mut self, layer: &Path) -> Result<(), SnapshotError> {
        let mut folder = sys::open(layer, OPEN_FOLDER, Mode::empty()).map_err(FileError::at("open", layer))?;
        let mut left = vec![self.enter(&folder)?];
        while let Some(names) = left.last_mut() {
            let Some(name) = names.next() else {
                self.hasher.update(&[END]);
                left.pop();
                if !left.is_empty() {
                    folder = self.at("open", sys::openat(&folder, c"..", OPEN_FOLDER, Mode::empty()))?;
                }
                self.path.pop();
                continue;
            };
            self.path.push(path_of(&name));
            if let Some(child) = self.entry(folder.as_fd(), &name)? {
                left.push(self.enter(&child)?);
                folder = child;
            } else {
                self.path.pop();
            }
        }
        Ok(())
    }

    /// Hashes a folder's own properties and lists it.
    fn enter(&mut self, folder: &OwnedFd) -> Result<IntoIter<CString>, SnapshotError> {
        let stat = self.at("read", sys::fstat(folder))?;
        self.properties(FOLDER, &stat);
        self.attributes(folder.as_fd())?;
        let found = self.at("list", entries(folder.as_fd()))?;
        let mut names: Vec<CString> = found.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names.into_iter())
    }

    /// Hashes what isn't a folder; opens what is.
    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>, SnapshotError> {
        self.bytes(name.to_bytes());
        let stat = self.at("read", sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                return Ok(Some(self.at("open", open_readable(folder, name, OPEN_FOLDER, &stat))?));
            }
            FileType::RegularFile => self.file(folder, name, &stat)?,
            FileType::Symlink => {
                self.properties(LINK, &stat);
                let target = self.at("read", sys::readlinkat(folder, name, Vec::new()))?;
                self.bytes(target.as_bytes());
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                self.hasher.update(&[WHITEOUT]);
            }
            kind @ (FileType::CharacterDevice | FileType::BlockDevice) => {
                self.properties(DEVICE, &stat);
                self.hasher.update(&[u8::from(kind == FileType::BlockDevice)]);
                self.hasher.update(&stat.st_rdev.to_le_bytes());
            }
            FileType::Fifo => self.properties(FIFO, &stat),
            FileType::Socket | FileType::Unknown => self.properties(SOCKET, &stat),
        }
        Ok(None)
    }

    fn file(&mut self, folder: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), SnapshotError> {
        let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NOATIME | OFlags::CLOEXEC;
        let file = self.at("open", open_readable(folder, name, open, stat))?;
        self.properties(FILE, stat);
        self.attributes(file.as_fd())?;
        let known = self.linked.get(&stat.st_ino).copied().filter(|_| stat.st_nlink > 1);
        let content = if let Some(known) = known {
            known
        } else {
            let content = hash_file(File::from(file), &mut self.buffer).map_err(FileError::at("read", &self.path))?;
            if stat.st_nlink > 1 {
                self.linked.insert(stat.st_ino, content);
            }
            content
        };
        self.hasher.update(content.as_bytes());
        Ok(())
    }

    fn properties(&mut self, tag: u8, stat: &Stat) {
        self.hasher.update(&[tag]);
        self.hasher.update(&(stat.st_mode & 0o7777).to_le_bytes());
        self.hasher.update(&stat.st_uid.to_le_bytes());
        self.hasher.update(&stat.st_gid.to_le_bytes());
    }

    /// All but the overlay's own ones, of which only the opaque mark has a meaning for the content.
    fn attributes(&mut self, file: BorrowedFd<'_>) -> Result<(), SnapshotError> {
        let attributes = self.at("read the attributes of", read_attributes(file))?;
        let mut kept = Vec::new();
        for (name, value) in attributes {
            match overlay_attribute(&name) {
                None => kept.push((name.into_bytes(), value)),
                Some(b"opaque") if value == b"y" => kept.push((b"opaque".to_vec(), Vec::new())),
                Some(b"redirect" | b"metacopy") => {
                    let attribute = name.to_string_lossy().into_owned();
                    return Err(SnapshotError::ForeignMark {
                        path: self.path.clone(),
                        attribute,
                    });
                }
                Some(_) => {}
            }
        }
        kept.sort_unstable();
        self.hasher.update(&(kept.len() as u64).to_le_bytes());
        for (name, value) in kept {
            self.bytes(&name);
            self.bytes(&value);
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }

    fn at<T>(&self, doing: &'static str, result: Result<T, Errno>) -> Result<T, FileError> {
        result.map_err(FileError::at(doing, &self.path))
    }
}

fn hash_file(mut file: File, buffer: &mut [u8]) -> io::Result<blake3::Hash> {
    let mut hasher = Hasher::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(length) => {
                hasher.update(&buffer[..length]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn path_of(name: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()))
}
