//! Removal of whatever a killed build leaves: closed folders, immutable files, paths of any depth.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, Dir, FileType, IFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::FileError;

/// Folders deeper than this are moved up before they are removed, so that neither the stack nor the number of open
/// files grows with the depth of the tree.
const DEEPEST: u32 = 48;

const OPEN_FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Removes `path` with all that is in it, never following a symbolic link. What isn't there is no error.
///
/// Folders without permissions are opened up, and the immutable and append-only flags (`ioctl_iflags(2)`) are taken
/// off.
///
/// # Errors
/// The first file that can't be removed; the rest of its folder may stand too.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    remove_root(path).map_err(FileError::at("remove", path))
}

fn remove_root(path: &Path) -> io::Result<()> {
    let is_folder = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let parent = sys::open(
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let name = CString::new(name.as_encoded_bytes())?;
    if !is_folder {
        return Ok(unlink(parent.as_fd(), &name, AtFlags::empty())?);
    }
    let top = open_folder(parent.as_fd(), &name)?;
    let mut moved = 0;
    loop {
        let before = moved;
        clear(top.as_fd(), top.as_fd(), 0, &mut moved)?;
        if moved == before {
            break;
        }
    }
    drop(top);
    Ok(unlink(parent.as_fd(), &name, AtFlags::REMOVEDIR)?)
}

/// Removes what is in `folder`; folders at [`DEEPEST`] are moved into `top` instead.
fn clear(top: BorrowedFd<'_>, folder: BorrowedFd<'_>, depth: u32, moved: &mut u64) -> Result<(), Errno> {
    for (name, kind) in entries(folder)? {
        if kind != FileType::Directory {
            unlink(folder, &name, AtFlags::empty())?;
            continue;
        }
        match unlink(folder, &name, AtFlags::REMOVEDIR) {
            Ok(()) => continue,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let child = open_folder(folder, &name)?;
        if depth < DEEPEST {
            clear(top, child.as_fd(), depth + 1, moved)?;
            unlink(folder, &name, AtFlags::REMOVEDIR)?;
        } else {
            *moved += 1;
            sys::fchmod(&child, Mode::RWXU)?;
            sys::renameat(folder, &name, top, format!(".hm-deep-{moved}"))?;
        }
    }
    Ok(())
}

/// What is in a folder, without `.` and `..`.
pub(crate) fn entries(folder: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            kind = FileType::from_raw_mode(sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        }
        found.push((name.to_owned(), kind));
    }
    Ok(found)
}

fn open_folder(parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let folder = match sys::openat(parent, name, OPEN_FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            sys::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            sys::openat(parent, name, OPEN_FOLDER, Mode::empty())?
        }
        other => other?,
    };
    Ok(folder)
}

fn unlink(folder: BorrowedFd<'_>, name: &CString, flags: AtFlags) -> Result<(), Errno> {
    match sys::unlinkat(folder, name, flags) {
        Err(Errno::ACCESS) => {
            // The folder itself lacks write or search permission.
            sys::fchmod(folder, Mode::RWXU).or(Err(Errno::ACCESS))?;
        }
        Err(Errno::PERM) => {
            clear_flags(folder).or(Err(Errno::PERM))?;
            let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            // Devices and symbolic links can't carry the flags; where opening fails the second try tells why.
            if let Ok(file) = sys::openat(folder, name, open, Mode::empty()) {
                clear_flags(file.as_fd()).or(Err(Errno::PERM))?;
            }
        }
        other => return other,
    }
    sys::unlinkat(folder, name, flags)
}

fn clear_flags(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = sys::ioctl_getflags(file)?;
    let holding = IFlags::IMMUTABLE | IFlags::APPEND;
    if flags.intersects(holding) {
        sys::ioctl_setflags(file, flags.difference(holding))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removes_closed_folders_and_leaves_link_targets() {
        let base = tempfile::tempdir().unwrap();
        let kept = base.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let gone = base.path().join("gone");
        fs::create_dir_all(gone.join("work/work/inner")).unwrap();
        fs::write(gone.join("work/work/inner/file"), "x").unwrap();
        symlink(&kept, gone.join("link")).unwrap();
        symlink("nowhere", gone.join("dangling")).unwrap();
        for closed in ["work/work/inner", "work/work", "work"] {
            fs::set_permissions(gone.join(closed), fs::Permissions::from_mode(0o0)).unwrap();
        }
        remove_tree(&gone).unwrap();
        assert!(!gone.exists());
        assert!(kept.join("file").exists());
        remove_tree(&gone).unwrap();
    }

    #[test]
    fn removes_paths_longer_than_a_path_may_be() {
        let base = tempfile::tempdir().unwrap();
        let gone = base.path().join("gone");
        fs::create_dir(&gone).unwrap();
        let name = CString::new("d".repeat(100)).unwrap();
        let mut folder = sys::open(&gone, OPEN_FOLDER, Mode::empty()).unwrap();
        for _ in 0..300 {
            sys::mkdirat(&folder, &name, Mode::RWXU).unwrap();
            folder = sys::openat(&folder, &name, OPEN_FOLDER, Mode::empty()).unwrap();
        }
        drop(folder);
        remove_tree(&gone).unwrap();
        assert!(!gone.exists());
    }

    #[test]
    fn removes_immutable_files_where_they_can_be_made() {
        let base = tempfile::tempdir().unwrap();
        let gone = base.path().join("gone");
        fs::create_dir(&gone).unwrap();
        fs::write(gone.join("file"), "x").unwrap();
        let file = fs::File::open(gone.join("file")).unwrap();
        // Not every file system, and no user but root, has the flag: there the test is one of plain removal.
        sys::ioctl_setflags(&file, IFlags::IMMUTABLE).ok();
        remove_tree(&gone).unwrap();
        assert!(!gone.exists());
    }
}
