//! `host`: this machine's own root file system.
//!
//! Hashing all of it would take seconds, so its digest is a fingerprint of what changes when somebody installs, updates
//! or removes software: the databases of package managers and the entries of the folders with programs and libraries.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::ImageError;
use super::stat_entry::{Times, hash_entry, sorted_names};
use crate::error::FileError;
use crate::ids::{DigestAlgorithm, ImageDigest};

/// Files whose content counts.
const FILES: [&str; 4] = [
    "etc/os-release",
    "etc/ld.so.cache",
    "lib/apk/db/installed",
    "var/lib/dpkg/status",
];

/// Folders whose direct entries count: name, type, mode, owners, size, time of modification, link target.
const FOLDERS: [&str; 20] = [
    "bin",
    "sbin",
    "lib",
    "lib64",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "usr/libexec",
    "usr/include",
    "usr/local",
    "usr/local/bin",
    "usr/local/sbin",
    "usr/local/lib",
    "etc/alternatives",
    "opt",
    "var/lib/rpm",
    "usr/lib/sysimage/rpm",
    "var/lib/pacman/local",
    "nix/var/nix/profiles",
];

/// The fingerprint of the root file system at `root`.
pub(super) fn host_digest(root: &Path) -> Result<ImageDigest, ImageError> {
    let mut hasher = blake3::Hasher::new_derive_key("hm image host 1");
    for name in FILES {
        let path = root.join(name);
        match fs::read(&path) {
            Ok(content) => part(&mut hasher, name, blake3::hash(&content)),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(FileError::at("read", &path)(error).into()),
        }
    }
    for name in FOLDERS {
        let path = root.join(name);
        match folder_hash(&path) {
            Ok(hash) => part(&mut hasher, name, hash),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => {}
            Err(error) => return Err(FileError::at("read the folder", &path)(error).into()),
        }
    }
    Ok(ImageDigest::new(DigestAlgorithm::Blake3, hasher.finalize().into()))
}

fn part(hasher: &mut blake3::Hasher, name: &str, hash: blake3::Hash) {
    hasher
        .update(&(name.len() as u64).to_le_bytes())
        .update(name.as_bytes())
        .update(hash.as_bytes());
}

/// A folder that is a link (`/bin` to `usr/bin`) is counted where it really is.
fn folder_hash(path: &Path) -> Result<blake3::Hash, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    let mut hasher = blake3::Hasher::new();
    for name in sorted_names(&folder)? {
        hash_entry(&mut hasher, &folder, &name, Times::Modification)?;
    }
    Ok(hasher.finalize())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn installing_software_changes_it_and_working_does_not() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path();
        for folder in [
            "usr/bin",
            "usr/local/bin",
            "var/lib/dpkg",
            "home/me",
            "tmp",
            "etc/alternatives",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink("usr/bin", root.join("bin")).unwrap();
        fs::write(root.join("var/lib/dpkg/status"), "Package: a\n").unwrap();
        let mut seen = vec![host_digest(root).unwrap()];

        fs::write(root.join("home/me/file"), "x").unwrap();
        fs::write(root.join("tmp/file"), "x").unwrap();
        fs::write(root.join("var/lib/dpkg/status"), "Package: a\n").unwrap();
        assert_eq!(host_digest(root).unwrap(), seen[0]);

        let mut check = |what: &str| {
            let digest = host_digest(root).unwrap();
            assert!(!seen.contains(&digest), "{what} went unseen");
            seen.push(digest);
        };
        fs::write(root.join("var/lib/dpkg/status"), "Package: b\n").unwrap();
        check("a package");
        fs::write(root.join("usr/local/bin/tool"), "x").unwrap();
        check("a local program");
        symlink("/usr/bin/a", root.join("etc/alternatives/cc")).unwrap();
        check("an alternative");
    }
}
