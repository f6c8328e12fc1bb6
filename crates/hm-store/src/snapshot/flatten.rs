//! Merging the layers of a snapshot into one that means the same.
//!
//! The rules are those of overlayfs (Linux `Documentation/filesystems/overlayfs.rst`): the topmost entry counts; a
//! folder is merged with folders of the same name beneath it, down to one that is opaque or to something that isn't a
//! folder. Removal marks stay, since they may hide something of the image.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, FileTimes, FileType, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{self as sys, AtFlags, CWD, Mode, XattrFlags};
use rustix::io::Errno;

use crate::error::FileError;
use crate::files::{XattrNamespace, overlay_attribute, read_attributes};
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
    Merge { marks }.folder(&folder, target, 0)
}

struct Merge {
    marks: XattrNamespace,
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
    fn folder(&self, folder: &MergedFolder, target: &Path, depth: usize) -> Result<(), SnapshotError> {
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
            } else if !(pure && is_whiteout(top, *kind)?) {
                link(top, &to)?;
            }
        }
        if let Some((top, metadata)) = folder.sources.first() {
            self.properties(folder, top, metadata, target)?;
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

fn is_whiteout(path: &Path, kind: FileType) -> Result<bool, FileError> {
    Ok(kind.is_char_device() && stat(path)?.rdev() == 0)
}

/// Gives the file a second name, or copies it where it has too many (`EMLINK`) or may not be linked (`link(2)`,
/// `protected_hardlinks`).
fn link(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    match sys::linkat(CWD, from, CWD, to, AtFlags::empty()) {
        Err(Errno::MLINK | Errno::PERM) => copy(from, to),
        other => Ok(other.map_err(FileError::at("link", to))?),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    let metadata = stat(from)?;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(from).map_err(FileError::at("read", from))?;
        std::os::unix::fs::symlink(target, to).map_err(FileError::at("make", to))?;
    } else if kind.is_file() {
        fs::copy(from, to).map_err(FileError::at("copy", from))?;
    } else {
        let mode = Mode::from_raw_mode(metadata.mode());
        sys::mknodat(
            CWD,
            to,
            sys::FileType::from_raw_mode(metadata.mode()),
            mode,
            metadata.rdev(),
        )
        .map_err(FileError::at("make", to))?;
    }
    lchown(to, Some(metadata.uid()), Some(metadata.gid())).map_err(FileError::at("give away", to))?;
    if kind.is_file() {
        let file = fs::File::options()
            .write(true)
            .open(to)
            .map_err(FileError::at("open", to))?;
        for (name, value) in attributes(from)?
            .iter()
            .filter(|(name, _)| overlay_attribute(name).is_none())
        {
            sys::fsetxattr(&file, name, value, XattrFlags::empty()).map_err(FileError::at("mark", to))?;
        }
        let mode = Permissions::from_mode(metadata.mode() & 0o7777);
        file.set_permissions(mode)
            .map_err(FileError::at("set the mode of", to))?;
        let modified = metadata.modified().map_err(FileError::at("read", from))?;
        file.set_times(FileTimes::new().set_modified(modified))
            .map_err(FileError::at("set the time of", to))?;
    }
    Ok(())
}

fn attributes(path: &Path) -> Result<Vec<(std::ffi::CString, Vec<u8>)>, FileError> {
    use std::os::fd::AsFd;
    let doing = "read the attributes of";
    let file = fs::File::open(path).map_err(FileError::at(doing, path))?;
    read_attributes(file.as_fd()).map_err(FileError::at(doing, path))
}

fn stat(path: &Path) -> Result<Metadata, FileError> {
    fs::symlink_metadata(path).map_err(|source: io::Error| FileError::at("read", path)(source))
}
