//! Unpacks the tar archive of a layer into a folder that overlayfs can stack.
//!
//! Every path is opened below the layer's root as if that were `/` (`openat2(2)` with `RESOLVE_IN_ROOT`), so neither
//! `..`, nor an absolute path, nor a symbolic link made earlier leads out. Whiteouts (OCI image specification, "Image
//! Layer Filesystem Changeset") become overlay whiteouts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::UnpackError;
use super::folder_end::{FolderEnd, Owner, UnfinishedFolders, set_xattrs};
use super::layer_root::{LayerRoot, Place, shown};
use super::tar_stream::{TarEntry, TarError, TarKind, TarStream};
use crate::files::{Owners, XattrNamespace};
use crate::nanoseconds::{times, timespec};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names of aufs's own files, of no use elsewhere.
const AUFS: &[u8] = b".wh..wh.";
const CHUNK: usize = 256 * 1024;

/// How layers are unpacked.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnpackSettings {
    /// Names of overlay marks.
    pub(super) xattrs: XattrNamespace,
    /// Whom entries are given to. Devices and capabilities are set by root only.
    pub(super) owners: Owners,
    /// Greatest number of entries.
    pub(super) max_entries: u64,
}

/// Unpacks all entries below `target`, an empty folder. The folders in it are to be finished when the layers below it
/// are there.
pub(super) fn unpack<R: Read>(
    reader: R,
    target: &Path,
    settings: &UnpackSettings,
) -> Result<UnfinishedFolders, UnpackError> {
    let mut unpacking = Unpacking {
        settings,
        root: LayerRoot::open(target)?,
        tar: TarStream::new(reader),
        // Without an entry of its own the layer's root is as the one below.
        folders: BTreeMap::from([(Vec::new(), FolderEnd::AsBelow)]),
        opaque: BTreeSet::new(),
        whiteouts: BTreeSet::new(),
        left_out: BTreeSet::new(),
        buffer: vec![0; CHUNK],
    };
    unpacking.all()?;
    Ok(UnfinishedFolders {
        root: unpacking.root,
        folders: unpacking.folders,
        owners: settings.owners,
    })
}

struct Unpacking<'a, R> {
    settings: &'a UnpackSettings,
    root: LayerRoot,
    tar: TarStream<R>,
    /// By path below the root.
    folders: BTreeMap<Vec<u8>, FolderEnd>,
    opaque: BTreeSet<Vec<u8>>,
    whiteouts: BTreeSet<Vec<u8>>,
    /// Devices that can't be made, and links to them.
    left_out: BTreeSet<Vec<u8>>,
    buffer: Vec<u8>,
}

impl<R: Read> Unpacking<'_, R> {
    fn all(&mut self) -> Result<(), UnpackError> {
        self.implied_folder(&[]);
        let mut entries = 0;
        while let Some(entry) = self.tar.next()? {
            entries += 1;
            if entries > self.settings.max_entries {
                return Err(UnpackError::Limit {
                    what: "entries",
                    limit: self.settings.max_entries,
                });
            }
            self.one(&entry)?;
        }
        self.write_whiteouts()?;
        self.mark_opaque()
    }

    fn one(&mut self, entry: &TarEntry) -> Result<(), UnpackError> {
        let path = below_root(&entry.path)?;
        let Some((name, parents)) = path.split_last() else {
            if entry.kind == TarKind::Dir {
                self.folders.insert(Vec::new(), self.folder_end(entry)?);
            }
            return Ok(());
        };
        if parents.iter().any(|parent| parent.starts_with(AUFS)) {
            return Ok(());
        }
        if *name == OPAQUE {
            self.folder(parents)?;
            self.opaque.insert(parents.join(&b'/'));
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if name.starts_with(AUFS) {
                return Ok(());
            }
            if hidden.is_empty() || hidden == b"." || hidden == b".." {
                return Err(UnpackError::UnsafePath {
                    path: shown(&entry.path),
                });
            }
            self.folder(parents)?;
            self.whiteouts.insert([parents, &[hidden]].concat().join(&b'/'));
            return Ok(());
        }
        let folder = self.folder(parents)?;
        let place = Place {
            folder,
            name: name.to_vec(),
            path: path.join(&b'/'),
        };
        self.make(entry, &place)
    }

    fn make(&mut self, entry: &TarEntry, place: &Place) -> Result<(), UnpackError> {
        match entry.kind {
            TarKind::Dir => self.make_folder(entry, place),
            TarKind::File => self.make_file(entry, place),
            TarKind::Symlink => self.make_link(entry, place),
            TarKind::HardLink => self.make_hard_link(entry, place),
            TarKind::CharDevice => self.make_node(entry, place, FileType::CharacterDevice),
            TarKind::BlockDevice => self.make_node(entry, place, FileType::BlockDevice),
            TarKind::Fifo => self.make_node(entry, place, FileType::Fifo),
            TarKind::Other => Ok(()),
        }
    }

    fn make_folder(&mut self, entry: &TarEntry, place: &Place) -> Result<(), UnpackError> {
        let made = rustix::fs::mkdirat(&place.folder, place.name.as_slice(), Mode::RWXU);
        match made {
            Err(Errno::EXIST) if place.kind()? == Some(FileType::Directory) => {}
            Err(Errno::EXIST) => {
                self.clear(place)?;
                rustix::fs::mkdirat(&place.folder, place.name.as_slice(), Mode::RWXU)
                    .map_err(|source| place.error("make the folder", source))?;
            }
            other => other.map_err(|source| place.error("make the folder", source))?,
        }
        let end = self.folder_end(entry)?;
        self.folders.insert(place.path.clone(), end);
        Ok(())
    }

    fn make_file(&mut self, entry: &TarEntry, place: &Place) -> Result<(), UnpackError> {
        let failed = |source: Errno| place.error("write", source);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&place.folder, place.name.as_slice(), flags, Mode::RUSR | Mode::WUSR);
        let file = self.placing(place, create)?;
        let end = self.write_data(entry, place, &file)?;
        if end < entry.size {
            rustix::fs::ftruncate(&file, entry.size).map_err(failed)?;
        }
        // In this order: a change of the owner takes set-uid bits and capabilities away.
        if let Some((uid, gid)) = self.owner(entry)? {
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
        set_xattrs(&file, &entry.xattrs, self.settings.owners).map_err(failed)?;
        rustix::fs::futimens(&file, &times(timespec(entry.mtime_ns))).map_err(failed)
    }

    /// Copies the entry's data to where it belongs in the file; gives the end of the last piece.
    fn write_data(&mut self, entry: &TarEntry, place: &Place, file: &OwnedFd) -> Result<u64, UnpackError> {
        let mut end = 0;
        for (offset, length) in &entry.pieces {
            if *length == 0 {
                continue;
            }
            let mut at = *offset;
            end = offset + length;
            while at < end {
                let want = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
                let got = self.tar.read_data(&mut self.buffer[..want])?;
                let mut bytes = &self.buffer[..got];
                while !bytes.is_empty() {
                    match rustix::io::pwrite(file, bytes, at) {
                        Ok(written) => {
                            bytes = &bytes[written..];
                            at += written as u64;
                        }
                        Err(Errno::INTR) => {}
                        Err(source) => return Err(place.error("write", source)),
                    }
                }
            }
        }
        Ok(end)
    }

    fn make_link(&mut self, entry: &TarEntry, place: &Place) -> Result<(), UnpackError> {
        let target = entry.link.as_slice();
        self.placing(place, || {
            rustix::fs::symlinkat(target, &place.folder, place.name.as_slice())
        })?;
        self.set_owner(entry, place)?;
        set_times(entry, place)
    }

    fn make_hard_link(&mut self, entry: &TarEntry, place: &Place) -> Result<(), UnpackError> {
        let missing = || UnpackError::HardLink {
            path: shown(&entry.path),
            target: shown(&entry.link),
        };
        let target = below_root(&entry.link)?;
        let (name, parents) = target.split_last().ok_or_else(missing)?;
        let folder = self.root.open_folder(&parents.join(&b'/')).map_err(|_| missing())?;
        let path = target.join(&b'/');
        if path == place.path {
            return Ok(());
        }
        let link = || rustix::fs::linkat(&folder, *name, &place.folder, place.name.as_slice(), AtFlags::empty());
        match rustix::fs::statat(&folder, *name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => self.placing(place, link),
            Err(_) if self.left_out.contains(&path) => {
                self.left_out.insert(place.path.clone());
                Ok(())
            }
            Err(_) => Err(missing()),
        }
    }

    fn make_node(&mut self, entry: &TarEntry, place: &Place, kind: FileType) -> Result<(), UnpackError> {
        if kind != FileType::Fifo && self.settings.owners != Owners::Same {
            self.left_out.insert(place.path.clone());
            return Ok(());
        }
        let (major, minor) = entry.device;
        let device = rustix::fs::makedev(major, minor);
        let mode = Mode::from_raw_mode(entry.mode);
        self.placing(place, || {
            rustix::fs::mknodat(&place.folder, place.name.as_slice(), kind, mode, device)
        })?;
        self.set_owner(entry, place)?;
        // Not a link: it was made just above, and nobody else works in this folder.
        rustix::fs::chmodat(&place.folder, place.name.as_slice(), mode, AtFlags::empty())
            .map_err(|source| place.error("set the mode of", source))?;
        set_times(entry, place)
    }

    /// Makes something; what is in its place goes first.
    fn placing<T>(&mut self, place: &Place, mut make: impl FnMut() -> Result<T, Errno>) -> Result<T, UnpackError> {
        match make() {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                make().map_err(|source| place.error("make", source))
            }
            other => other.map_err(|source| place.error("make", source)),
        }
    }

    fn clear(&mut self, place: &Place) -> Result<(), UnpackError> {
        place.remove()?;
        self.folders
            .retain(|path, _| path != &place.path && !is_below(path, &place.path));
        self.opaque
            .retain(|path| path != &place.path && !is_below(path, &place.path));
        self.whiteouts.retain(|path| !is_below(path, &place.path));
        Ok(())
    }

    fn set_owner(&self, entry: &TarEntry, place: &Place) -> Result<(), UnpackError> {
        let Some((uid, gid)) = self.owner(entry)? else {
            return Ok(());
        };
        let (folder, name) = (&place.folder, place.name.as_slice());
        rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|source| place.error("set the owner of", source))
    }

    /// Whom the entry is to be given to; `None`: what is made belongs to the right user as it is.
    fn owner(&self, entry: &TarEntry) -> Result<Owner, UnpackError> {
        let (user, group) = owner(entry)?;
        let owners = self.settings.owners;
        if owners == Owners::One {
            return Ok(None);
        }
        let (uid, gid) = owners.on_disk(user, group).ok_or_else(|| UnpackError::Owner {
            path: shown(&entry.path),
            user,
            group,
            greatest: owners.greatest(),
        })?;
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }

    fn folder_end(&self, entry: &TarEntry) -> Result<FolderEnd, UnpackError> {
        Ok(FolderEnd::Told {
            mode: entry.mode,
            owner: self.owner(entry)?,
            mtime_ns: entry.mtime_ns,
            xattrs: entry.xattrs.clone(),
        })
    }

    /// Opens a folder of the layer, making what of it isn't there.
    fn folder(&mut self, parts: &[&[u8]]) -> Result<OwnedFd, UnpackError> {
        let path = parts.join(&b'/');
        let failed = |source: Errno| UnpackError::Entry {
            doing: "open the folder",
            path: shown(&path),
            source: source.into(),
        };
        match self.root.open_folder(&path) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(failed),
        }
        for end in 1..=parts.len() {
            let prefix = &parts[..end];
            let (name, above) = prefix.split_last().ok_or(Errno::INVAL).map_err(failed)?;
            let above = self.root.open_folder(&above.join(&b'/')).map_err(failed)?;
            match rustix::fs::mkdirat(&above, *name, Mode::RWXU) {
                Ok(()) => self.implied_folder(prefix),
                Err(Errno::EXIST) => {}
                Err(source) => return Err(failed(source)),
            }
        }
        self.root.open_folder(&path).map_err(failed)
    }

    fn implied_folder(&mut self, parts: &[&[u8]]) {
        self.folders.insert(parts.join(&b'/'), FolderEnd::AsBelow);
    }

    /// A whiteout hides what is below this layer. What the layer itself has in its place stays; a folder then hides
    /// the one below.
    fn write_whiteouts(&mut self) -> Result<(), UnpackError> {
        for path in std::mem::take(&mut self.whiteouts) {
            let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
            let Some((name, parents)) = parts.split_last() else {
                continue;
            };
            let place = Place {
                folder: self.folder(parents)?,
                name: name.to_vec(),
                path: path.clone(),
            };
            match place.kind()? {
                Some(FileType::Directory) => {
                    self.opaque.insert(path);
                }
                Some(_) => {}
                None => {
                    let (kind, mode) = (FileType::CharacterDevice, Mode::empty());
                    rustix::fs::mknodat(&place.folder, place.name.as_slice(), kind, mode, 0)
                        .map_err(|source| place.error("make the whiteout of", source))?;
                }
            }
        }
        Ok(())
    }

    fn mark_opaque(&self) -> Result<(), UnpackError> {
        for path in &self.opaque {
            let name = self.settings.xattrs.opaque();
            let set = |folder: OwnedFd| rustix::fs::fsetxattr(folder, name, b"y", XattrFlags::empty());
            self.root
                .open_to_change(path)
                .and_then(set)
                .map_err(|source| UnpackError::Entry {
                    doing: "mark as opaque",
                    path: shown(path),
                    source: source.into(),
                })?;
        }
        Ok(())
    }
}

/// The path's parts. One slash or more in front means the layer's root; a part `..` leads out, or could.
fn below_root(path: &[u8]) -> Result<Vec<&[u8]>, UnpackError> {
    let parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(UnpackError::UnsafePath { path: shown(path) });
    }
    Ok(parts)
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.len() > folder.len() && path.starts_with(folder) && path[folder.len()] == b'/'
}

fn owner(entry: &TarEntry) -> Result<(u32, u32), UnpackError> {
    let id = |id: u64, what| {
        let fits = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        fits.ok_or(UnpackError::Tar(TarError::Field {
            at: entry.data_at,
            what,
        }))
    };
    Ok((id(entry.uid, "uid")?, id(entry.gid, "gid")?))
}

fn set_times(entry: &TarEntry, place: &Place) -> Result<(), UnpackError> {
    let times = times(timespec(entry.mtime_ns));
    rustix::fs::utimensat(&place.folder, place.name.as_slice(), &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|source| place.error("set the times of", source))
}
