//! Merging the layers of a snapshot into one that means the same.
//!
//! The rules are those of overlayfs (Linux `Documentation/filesystems/overlayfs.rst`): the topmost entry counts; a
//! folder is merged with folders of the same name beneath it, down to one that is opaque or to something that isn't a
//! folder. Removal marks stay, since they may hide something of the image.
//!
//! Files are copied, and names of one file in a layer stay names of one file: a step sees the link counts of its own
//! tree, whatever else there is of a file.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsString};
use std::fs::{self, DirBuilder, FileTimes, FileType, Metadata, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{self as sys, AtFlags, CWD, Mode, OFlags, Timespec, XattrFlags};
use rustix::io::Errno;

use crate::error::FileError;
use crate::files::{OPEN_FOLDER, XattrNamespace, copy_content, open_readable, overlay_attribute, read_attributes};
use crate::nanoseconds::times;
use crate::snapshot::error::SnapshotError;

/// Far below what the stack of a thread and the longest path allow.
const DEEPEST: usize = 512;

/// Merges `layers` (top first) into the new folder `target`.
pub(crate) fn merge(layers: &[PathBuf], target: &Path, marks: XattrNamespace) -> Result<(), SnapshotError> {
    let sources = layers
        .iter()
        .map(|layer| Ok((layer.clone(), stat(layer)?)))
        .collect::<Result<Vec<_>, FileError>>()?;
    // The root of a layer always lies over the image's.
    let folder = MergedFolder {
        sources,
        opaque: false,
        pure: false,
    };
    let mut merge = Merge {
        marks,
        copied: HashMap::new(),
    };
    merge.folder(&folder, target, 0)
}

struct Merge {
    marks: XattrNamespace,
    /// Where the copies are of files with several names, by device and inode.
    copied: HashMap<(u64, u64), PathBuf>,
}

/// Folders of one name, top first, that show as one.
struct MergedFolder {
    sources: Vec<(PathBuf, Metadata)>,
    /// Nothing beneath them shows.
    opaque: bool,
    /// It lies in an opaque one: there is nothing beneath, so neither it nor what is in it needs marks. They must not
    /// be there: overlayfs lists such a folder as it is, removal marks included.
    pure: bool,
}

impl Merge {
    fn folder(&mut self, folder: &MergedFolder, target: &Path, depth: usize) -> Result<(), SnapshotError> {
        if depth > DEEPEST {
            return Err(SnapshotError::TooDeep {
                path: target.to_path_buf(),
            });
        }
        DirBuilder::new()
            .mode(0o700)
            .create(target)
            .map_err(FileError::at("make", target))?;
        let pure = folder.pure || folder.opaque;
        for (name, found) in list(&folder.sources)? {
            let Some((top, kind)) = found.first() else { continue };
            let to = target.join(&name);
            if kind.is_dir() {
                self.folder(&merged_folder(&found, pure)?, &to, depth + 1)?;
            } else {
                self.file(top, &to, pure)?;
            }
        }
        if let Some((top, metadata)) = folder.sources.first() {
            self.properties(folder, top, metadata, target)?;
        }
        Ok(())
    }

    /// Copies what is no folder, unless it has a name in the target already.
    fn file(&mut self, from: &Path, to: &Path, pure: bool) -> Result<(), SnapshotError> {
        let metadata = stat(from)?;
        if pure && is_whiteout(&metadata) {
            return Ok(());
        }
        let file = (metadata.dev(), metadata.ino());
        if let Some(copied) = self.copied.get(&file) {
            return Ok(fs::hard_link(copied, to).map_err(FileError::at("link", to))?);
        }
        copy(from, to, &metadata)?;
        if metadata.nlink() > 1 {
            self.copied.insert(file, to.to_owned());
        }
        Ok(())
    }

    /// Gives `target` what the topmost folder has.
    fn properties(
        &self,
        folder: &MergedFolder,
        top: &Path,
        metadata: &Metadata,
        target: &Path,
    ) -> Result<(), SnapshotError> {
        lchown(target, Some(metadata.uid()), Some(metadata.gid())).map_err(FileError::at("give away", target))?;
        let file = fs::File::open(target).map_err(FileError::at("open", target))?;
        for (name, value) in attributes(top)? {
            match overlay_attribute(&name) {
                None => {
                    sys::fsetxattr(&file, &name, &value, XattrFlags::empty()).map_err(FileError::at("mark", target))?;
                }
                Some(b"redirect" | b"metacopy") => {
                    let attribute = name.to_string_lossy().into_owned();
                    return Err(SnapshotError::ForeignMark {
                        path: top.to_path_buf(),
                        attribute,
                    });
                }
                Some(_) => {}
            }
        }
        if folder.opaque && !folder.pure {
            let opaque = self.marks.opaque();
            sys::fsetxattr(&file, opaque, b"y", XattrFlags::empty()).map_err(FileError::at("mark", target))?;
        }
        let mode = Permissions::from_mode(metadata.mode() & 0o7777);
        file.set_permissions(mode)
            .map_err(FileError::at("set the mode of", target))?;
        let modified = metadata.modified().map_err(FileError::at("read", top))?;
        file.set_times(FileTimes::new().set_modified(modified))
            .map_err(FileError::at("set the time of", target))?;
        Ok(())
    }
}

/// The entries of all sources: for each name where it is found, top first.
fn list(sources: &[(PathBuf, Metadata)]) -> Result<BTreeMap<OsString, Vec<(PathBuf, FileType)>>, FileError> {
    let mut names: BTreeMap<OsString, Vec<(PathBuf, FileType)>> = BTreeMap::new();
    for (source, _) in sources {
        for entry in fs::read_dir(source).map_err(FileError::at("list", source))? {
            let entry = entry.map_err(FileError::at("list", source))?;
            let kind = entry.file_type().map_err(FileError::at("list", source))?;
            names.entry(entry.file_name()).or_default().push((entry.path(), kind));
        }
    }
    Ok(names)
}

/// What shows as one folder of the entries of one name, the first of which is a folder.
fn merged_folder(found: &[(PathBuf, FileType)], pure: bool) -> Result<MergedFolder, SnapshotError> {
    let mut folder = MergedFolder {
        sources: Vec::new(),
        opaque: false,
        pure,
    };
    for (path, kind) in found {
        if !kind.is_dir() {
            folder.opaque = true;
            break;
        }
        folder.sources.push((path.clone(), stat(path)?));
        if attributes(path)?
            .iter()
            .any(|(name, value)| overlay_attribute(name) == Some(b"opaque") && value == b"y")
        {
            folder.opaque = true;
            break;
        }
    }
    Ok(folder)
}

fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Copies what is no folder: content, owner, attributes, mode and time.
fn copy(from: &Path, to: &Path, metadata: &Metadata) -> Result<(), SnapshotError> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(from).map_err(FileError::at("read", from))?;
        std::os::unix::fs::symlink(target, to).map_err(FileError::at("make", to))?;
    } else if kind.is_file() {
        copy_file(from, to)?;
    } else {
        let (kind, mode) = (metadata.mode(), Mode::from_raw_mode(metadata.mode()));
        sys::mknodat(CWD, to, sys::FileType::from_raw_mode(kind), mode, metadata.rdev())
            .map_err(FileError::at("make", to))?;
    }
    // A new owner takes set-uid bits and capabilities away, so it comes first.
    lchown(to, Some(metadata.uid()), Some(metadata.gid())).map_err(FileError::at("give away", to))?;
    if kind.is_file() {
        copy_attributes(from, to)?;
    }
    if !kind.is_symlink() {
        let mode = Permissions::from_mode(metadata.mode() & 0o7777);
        fs::set_permissions(to, mode).map_err(FileError::at("set the mode of", to))?;
    }
    let modified = times(Timespec {
        tv_sec: metadata.mtime(),
        tv_nsec: metadata.mtime_nsec(),
    });
    sys::utimensat(CWD, to, &modified, AtFlags::SYMLINK_NOFOLLOW).map_err(FileError::at("set the time of", to))?;
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), FileError> {
    let source = open(from)?;
    let copied = fs::File::options()
        .write(true)
        .create_new(true)
        .open(to)
        .and_then(|copy| copy_content(&source, &copy));
    copied.map_err(FileError::at("copy", from))
}

fn copy_attributes(from: &Path, to: &Path) -> Result<(), FileError> {
    let kept = attributes(from)?
        .into_iter()
        .filter(|(name, _)| overlay_attribute(name).is_none());
    let mut copy = None;
    for (name, value) in kept {
        let copy = match &copy {
            Some(copy) => copy,
            None => copy.insert(fs::File::open(to).map_err(FileError::at("open", to))?),
        };
        sys::fsetxattr(copy, &name, &value, XattrFlags::empty()).map_err(FileError::at("mark", to))?;
    }
    Ok(())
}

fn attributes(path: &Path) -> Result<Vec<(CString, Vec<u8>)>, FileError> {
    read_attributes(open(path)?.as_fd()).map_err(FileError::at("read the attributes of", path))
}

/// Opens a file or folder of a layer, also one that is closed to its owner.
fn open(path: &Path) -> Result<fs::File, FileError> {
    let failed = || FileError::at("open", path);
    let parent = path.parent().unwrap_or(Path::new("/"));
    let folder = sys::open(parent, OPEN_FOLDER, Mode::empty()).map_err(failed())?;
    let name = CString::new(path.file_name().unwrap_or_default().as_bytes()).map_err(|_| failed()(Errno::INVAL))?;
    let stat = sys::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_readable(folder.as_fd(), &name, flags, &stat)
        .map(fs::File::from)
        .map_err(failed())
}

fn stat(path: &Path) -> Result<Metadata, FileError> {
    fs::symlink_metadata(path).map_err(|source: io::Error| FileError::at("read", path)(source))
}
