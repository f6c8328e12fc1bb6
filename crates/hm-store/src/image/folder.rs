//! `dir:`: a folder that holds a root file system.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::ImageError;
use super::stat_entry::{Times, hash_entry, sorted_names};
use crate::error::FileError;
use crate::ids::{DigestAlgorithm, ImageDigest};
use crate::work_queue::{WorkQueue, file_threads};

/// The identity of what is in the folder: BLAKE3 over path, type, mode, owners, size, times (of modification and of
/// change), device number and link target of all that is below it. Contents are not read: whoever changes one changes
/// the time of change with it. Other file systems mounted below are not entered.
pub(super) fn folder_digest(root: &Path) -> Result<ImageDigest, ImageError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root_fd = match rustix::fs::open(root, flags, Mode::empty()) {
        Err(Errno::NOTDIR) => {
            return Err(ImageError::WrongKind {
                path: root.to_owned(),
                expected: "a folder with a root file system",
            });
        }
        other => other.map_err(FileError::at("open the folder", root))?,
    };
    let device = rustix::fs::fstat(&root_fd)
        .map_err(FileError::at("look at", root))?
        .st_dev;

    let work = |queue: &WorkQueue<PathBuf>, folder: PathBuf, hashes: &mut Vec<(PathBuf, blake3::Hash)>| {
        let failed = |source: Errno| FileError::at("read the folder", root.join(&folder))(source);
        let below = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &folder
        };
        let fd = match rustix::fs::openat(&root_fd, below, flags | OFlags::NOFOLLOW, Mode::empty()) {
            // It went away since it was found.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            other => other.map_err(failed)?,
        };
        let mut hasher = blake3::Hasher::new();
        for name in sorted_names(&fd).map_err(failed)? {
            let stat = hash_entry(&mut hasher, fd.as_fd(), &name, Times::All).map_err(failed)?;
            if stat.is_some_and(|stat: Stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory && stat.st_dev == device
            }) {
                use std::os::unix::ffi::OsStrExt;
                queue.add(folder.join(std::ffi::OsStr::from_bytes(&name)));
            }
        }
        hashes.push((folder, hasher.finalize()));
        Ok::<_, FileError>(())
    };
    let parts = WorkQueue::run(file_threads(), PathBuf::new(), work)?;
    let mut folders: Vec<_> = parts.into_iter().flatten().collect();
    folders.sort_unstable_by(|a, b| a.0.cmp(&b.0));

    let mut hasher = blake3::Hasher::new_derive_key("hm image folder 1");
    for (path, hash) in folders {
        let path = path.as_os_str().as_encoded_bytes();
        hasher
            .update(&(path.len() as u64).to_le_bytes())
            .update(path)
            .update(hash.as_bytes());
    }
    Ok(ImageDigest::new(DigestAlgorithm::Blake3, hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_digest_sees_every_change_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join("usr/bin/tool"), "one").unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        let mut seen = vec![folder_digest(root).unwrap()];
        assert_eq!(folder_digest(root).unwrap(), seen[0]);

        let mut check = |what: &str| {
            let digest = folder_digest(root).unwrap();
            assert!(!seen.contains(&digest), "{what} went unseen");
            seen.push(digest);
        };
        fs::write(root.join("usr/bin/tool"), "two!").unwrap();
        check("content");
        fs::set_permissions(root.join("usr/bin/tool"), Permissions::from_mode(0o755)).unwrap();
        check("mode");
        fs::remove_file(root.join("bin")).unwrap();
        symlink("usr/sbin", root.join("bin")).unwrap();
        check("target");
        fs::create_dir(root.join("usr/empty")).unwrap();
        check("folder");
        fs::rename(root.join("usr/bin/tool"), root.join("usr/bin/tool2")).unwrap();
        check("name");
    }

    #[test]
    fn a_file_is_no_folder() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        let error = folder_digest(&file).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} is not a folder with a root file system", file.display())
        );
    }
}
