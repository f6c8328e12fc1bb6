//! What the folders of a layer get when all is in them.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::UnpackError;
use super::layer_root::{LayerRoot, shown};
use crate::files::Owners;
use crate::nanoseconds::{mtime_ns, times, timespec};

/// Who owns an entry, on disk; `None`: whoever made it.
pub(super) type Owner = Option<(Uid, Gid)>;

/// What a folder gets when all is in it.
#[derive(Debug)]
pub(super) enum FolderEnd {
    /// What its entry says.
    Told {
        mode: u32,
        owner: Owner,
        mtime_ns: i128,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// The archive needs it and has no entry for it: what the same folder of the layers below has.
    AsBelow,
}

/// The folders of an unpacked layer, by path below its root.
pub(super) struct UnfinishedFolders {
    pub(super) root: LayerRoot,
    pub(super) folders: BTreeMap<Vec<u8>, FolderEnd>,
    pub(super) owners: Owners,
}

impl UnfinishedFolders {
    /// Finishes them; `lower` are the layers below, the uppermost first.
    pub(super) fn finish(self, lower: &[&Path]) -> Result<(), UnpackError> {
        let needs_lower = self.folders.values().any(|end| matches!(end, FolderEnd::AsBelow));
        let lower: Vec<LayerRoot> = if needs_lower {
            lower
                .iter()
                .map(|path| LayerRoot::open(path))
                .collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        // Deepest first: closing a folder's mode hinders no later one, and its time stays.
        for (path, end) in self.folders.iter().rev() {
            self.finish_one(path, end, &lower)
                .map_err(|source| UnpackError::Entry {
                    doing: "finish the folder",
                    path: shown(path),
                    source: source.into(),
                })?;
        }
        Ok(())
    }

    fn finish_one(&self, path: &[u8], end: &FolderEnd, lower: &[LayerRoot]) -> Result<(), Errno> {
        let folder = match self.root.open_to_change(path) {
            // Something took its place through another path.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            other => other?,
        };
        let (mode, owner, mtime, xattrs): (_, _, _, &[_]) = match end {
            FolderEnd::Told {
                mode,
                owner,
                mtime_ns,
                xattrs,
            } => (*mode, *owner, Some(*mtime_ns), xattrs),
            FolderEnd::AsBelow => match lower.iter().find_map(|layer| layer.stat_folder(path)) {
                Some(stat) => {
                    let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                    (stat.st_mode & 0o7777, Some(owner), Some(mtime_ns(&stat)), &[])
                }
                None => (0o755, None, None, &[]),
            },
        };
        if let Some((uid, gid)) = owner.filter(|_| self.owners != Owners::One) {
            rustix::fs::fchown(&folder, Some(uid), Some(gid))?;
        }
        set_xattrs(&folder, xattrs, self.owners)?;
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?;
        match mtime {
            Some(mtime) => rustix::fs::futimens(&folder, &times(timespec(mtime))),
            None => Ok(()),
        }
    }
}

/// Sets what belongs to the file: capabilities, access lists, users' attributes. Marks of overlayfs are never taken from
/// an archive: they would change what the stack shows. A file system without attributes has none.
pub(super) fn set_xattrs(file: impl AsFd, xattrs: &[(Vec<u8>, Vec<u8>)], owners: Owners) -> Result<(), Errno> {
    for (name, value) in xattrs {
        let for_all = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        let for_root = name == b"security.capability" || name.starts_with(b"system.posix_acl_");
        if for_all || (for_root && owners == Owners::Same) {
            match rustix::fs::fsetxattr(&file, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
