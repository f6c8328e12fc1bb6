//! What the host has mounted beneath `/`, as steps see it.
//!
//! An overlay of `/` shows none of it. Root has a read-only overlay of each mount of a disk: its devices, sockets and
//! named pipes lead nowhere then. What can't be a layer is bound, with covers over what is hidden and over the sockets
//! that services listen on. Each is made once, in the folder of the view, and steps get copies.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::host_view::{Layers, NAME_SERVICE, SKIPPED_MOUNTS};
use super::private::{is_hidden, real_places};
use crate::error::{SetupError, Stage, at};
use crate::overlay::{Overlay, attach};
use crate::step::clone_files;

/// File systems whose mounts are part of the host's software.
pub(super) const DISK_TYPES: [&str; 10] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "erofs", "squashfs",
];

/// A mount that completes the view, read-only.
#[derive(Debug)]
pub(crate) struct ViewBind {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
}

/// How mounts of the host are shown.
pub(super) struct HostMounts<'a> {
    layers: &'a Layers,
    hidden: &'a [PathBuf],
    /// Of services, looked up when they are needed first.
    sockets: OnceCell<Vec<PathBuf>>,
    /// See [`Overlay`].
    classic: bool,
}

impl<'a> HostMounts<'a> {
    pub(super) fn new(layers: &'a Layers, hidden: &'a [PathBuf], classic: bool) -> Self {
        Self {
            layers,
            hidden,
            sockets: OnceCell::new(),
            classic,
        }
    }

    /// Overlays of the mounts of disks, each without what is mounted beneath it. Changes the working directory.
    pub(super) fn overlay(&self, table: &str) -> Result<Vec<ViewBind>, SetupError> {
        let shown = |path: &PathBuf| {
            let is_needless = SKIPPED_MOUNTS.iter().any(|skipped| path.starts_with(skipped));
            !is_needless && !is_hidden(self.hidden, path)
        };
        let mut binds = Vec::new();
        for path in disk_mounts(table).filter(shown) {
            binds.extend(self.show(&path, binds.len(), true)?);
        }
        rustix::process::chdir("/").map_err(at(Stage::HostView, "/"))?;
        Ok(binds)
    }

    /// Folders with everything that is mounted beneath them.
    pub(super) fn bind(&self, folders: &[PathBuf]) -> Result<Vec<ViewBind>, SetupError> {
        let mut binds = Vec::new();
        for path in folders {
            binds.extend(self.show(path, binds.len(), false)?);
        }
        Ok(binds)
    }

    /// Nothing for what is neither folder nor file, such as a socket that was bound.
    fn show(&self, path: &Path, number: usize, by_itself: bool) -> Result<Option<ViewBind>, SetupError> {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return Ok(None);
        };
        if !metadata.is_dir() && !metadata.is_file() {
            return Ok(None);
        }
        let place = self.layers.place_of_mount(number, metadata.is_dir())?;
        if !(by_itself && metadata.is_dir() && self.try_overlay(path, &place)?) {
            clone_files(path, true, !by_itself)
                .map_err(at(Stage::HostView, path))
                .and_then(|mount| attach(&mount, &place))?;
            self.cover(path, &place)?;
        }
        Ok(Some(ViewBind {
            source: place,
            target: path.to_owned(),
        }))
    }

    /// Whether the kernel takes the mount as a layer. It has features that exclude that, such as folders in which case
    /// is ignored.
    fn try_overlay(&self, path: &Path, place: &Path) -> Result<bool, SetupError> {
        let [skeleton, whiteouts] = self.layers.of_folder(path)?;
        let mut lower = vec![skeleton.as_path()];
        lower.extend(Some(whiteouts.as_path()).filter(|folder| folder.is_dir()));
        lower.push(path);
        let overlay = Overlay {
            lower,
            base: Path::new("/"),
            writable: None,
            mount_point: place,
            user_xattr: false,
            classic: self.classic,
        };
        Ok(overlay.mount().is_ok())
    }

    /// Covers what steps must not see of a path that is bound at a place of the view.
    fn cover(&self, path: &Path, place: &Path) -> Result<(), SetupError> {
        let hidden = self.hidden.iter().filter(|hidden| hidden.starts_with(path));
        let sockets = self.sockets.get_or_init(sockets_of_services).iter();
        let sockets = sockets.filter(|socket| socket.starts_with(path) && !is_hidden(self.hidden, socket));
        for covered in hidden.chain(sockets) {
            let Ok(relative) = covered.strip_prefix(path) else {
                continue;
            };
            let target = place.join(relative);
            // A mount by itself doesn't have all of it, and a service may end meanwhile. What a link leads to is covered.
            let Some(found) = fs::symlink_metadata(&target).ok().filter(|found| !found.is_symlink()) else {
                continue;
            };
            let source = self.layers.cover_of(covered, found.is_dir());
            clone_files(&source, true, false)
                .map_err(at(Stage::HostView, &source))
                .and_then(|mount| attach(&mount, &target))?;
        }
        Ok(())
    }
}

/// The sockets with a path that somebody listens on or sends to, in this network namespace (`proc_net(5)`).
fn sockets_of_services() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
    let is_socket = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    // Connections have the path of whom they reached.
    let paths: BTreeSet<&Path> = paths_of_sockets(&table).collect();
    paths.into_iter().flat_map(real_places).filter(is_socket).collect()
}

fn paths_of_sockets(table: &str) -> impl Iterator<Item = &Path> {
    // The path comes after seven fields, and may have spaces. Other sockets have none, or a name that begins with `@`.
    table
        .lines()
        .filter_map(|line| line.find(" /").and_then(|start| line.get(start + 1..)).map(Path::new))
}

/// Mount points of disk file systems other than the root's, in the order they were mounted.
fn disk_mounts(table: &str) -> impl Iterator<Item = PathBuf> {
    let own_copy = |place: &Path| NAME_SERVICE.iter().any(|path| place == Path::new(path));
    mounts(table)
        .filter(move |(place, kind)| DISK_TYPES.contains(kind) && place != Path::new("/") && !own_copy(place))
        .map(|(place, _)| place)
}

/// Mount points and the kinds of what is mounted there (`proc_pid_mountinfo(5)`).
pub(super) fn mounts(table: &str) -> impl Iterator<Item = (PathBuf, &str)> {
    table.lines().filter_map(|line| {
        let (fields, file_system) = line.split_once(" - ")?;
        let place = fields.split(' ').nth(4)?;
        Some((PathBuf::from(unescape(place)), file_system.split(' ').next()?))
    })
}

/// Octal escapes stand for space, tab, newline and backslash.
fn unescape(place: &str) -> String {
    [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", r"\")]
        .iter()
        .fold(place.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disk_mounts_other_than_the_root_are_shown() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     23 22 0:5 / /dev rw - devtmpfs dev rw\n\
                     24 22 254:1 / /opt/my\\040disk rw,noatime shared:1 - xfs /dev/vdb rw\n\
                     25 22 254:0 /c/hosts /etc/hosts rw - ext4 /dev/vda rw\n";
        assert_eq!(disk_mounts(table).collect::<Vec<_>>(), [PathBuf::from("/opt/my disk")]);
    }

    #[test]
    fn sockets_have_paths() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                     0000000012345678: 00000002 00000000 00010000 0001 01 1234 /opt/a service/s\n\
                     0000000012345678: 00000003 00000000 00000000 0001 03 1235\n\
                     0000000012345678: 00000002 00000000 00010000 0005 01 1236 @/abstract\n";
        let found: Vec<_> = paths_of_sockets(table).collect();
        assert_eq!(found, [Path::new("/opt/a service/s")]);
    }
}
