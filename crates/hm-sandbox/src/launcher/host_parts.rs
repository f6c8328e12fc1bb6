//! The host view without root: the folders of `/`, each on its own.
//!
//! The kernel refuses a layer that has mounts beneath it which a user namespace took over, so that nobody looks under
//! them; `/` always has. Most of its folders have none: each is the lowest layer of an overlay of its own. One that has
//! mounts beneath it is bound, read-only. What lies directly in `/` is a skeleton.
//!
//! Files of the host belong to users that a user namespace doesn't have, so even its root may not add to their folders.
//! The folders that people put things in are therefore in the skeleton as well: the topmost layer says who owns them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::host_mounts::{DISK_TYPES, mounts};
use super::host_view::{Layers, SKIPPED_MOUNTS};
use super::private::is_hidden;
use super::start::io_error;
use crate::error::{SetupError, Stage};

/// What a machine has file systems of its own for.
const OWN: [&str; 3] = ["/dev", "/proc", "/sys"];

/// What is copied where there are no overlays.
const COPIED: &str = "/etc";

/// Folders whose folders get new entries, too.
const DEEPER: [&str; 2] = ["/usr", "/var"];

/// A folder of `/` that machines mount as an overlay of its own.
#[derive(Debug)]
pub(crate) struct ViewPart {
    pub(crate) name: OsString,
    /// Top first.
    pub(crate) lower: Vec<PathBuf>,
}

/// What the folders of `/` become.
pub(super) struct Parts {
    pub(super) parts: Vec<ViewPart>,
    /// Those that are bound.
    pub(super) bound: Vec<PathBuf>,
}

/// `as_overlays`: folders may be overlays of their own. Else all of them are bound, but for one that is small and that steps
/// want to change.
pub(super) fn make(layers: &Layers, hidden: &[PathBuf], table: &str, as_overlays: bool) -> Result<Parts, SetupError> {
    let mounts: Vec<Mount> = mounts(table).map(Mount::of).collect();
    let mut made = Parts {
        parts: Vec::new(),
        bound: Vec::new(),
    };
    let failed = |error| io_error(Stage::HostView, "/", &error);
    for entry in fs::read_dir("/").map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(failed)?;
        if is_hidden(hidden, &path) || SKIPPED_MOUNTS.iter().any(|skipped| path == Path::new(skipped)) {
            continue;
        }
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(failed)?;
            symlink(target, layers.skeleton.join(entry.file_name()))
                .map_err(|error| io_error(Stage::HostView, &path, &error))?;
        } else if OWN.iter().any(|own| path == Path::new(own)) {
            layers.folder(&path, 0o755)?;
        } else if kind.is_dir() && is_open(&path) {
            layers.copied_folder(&path)?;
            if as_overlays && mounts.iter().all(|mount| mount.lets_be_a_layer(&path)) {
                add_folders(layers, hidden, &path)?;
                made.parts.push(part(layers, entry.file_name()));
            } else if !as_overlays && path == Path::new(COPIED) {
                layers.copied_tree(&path, hidden)?;
            } else {
                made.bound.push(path);
            }
        }
    }
    Ok(made)
}

fn part(layers: &Layers, name: OsString) -> ViewPart {
    let whiteouts = layers.whiteouts.join(&name);
    let mut lower = vec![layers.skeleton.join(&name)];
    lower.extend(Some(whiteouts).filter(|folder| folder.is_dir()));
    lower.push(Path::new("/").join(&name));
    ViewPart { name, lower }
}

/// Folders in which something new can be made.
fn add_folders(layers: &Layers, hidden: &[PathBuf], top: &Path) -> Result<(), SetupError> {
    for folder in open_folders(hidden, top) {
        layers.copied_folder(&folder)?;
        if DEEPER.iter().any(|deeper| top == Path::new(deeper)) {
            for inner in open_folders(hidden, &folder) {
                layers.copied_folder(&inner)?;
            }
        }
    }
    Ok(())
}

/// Those that everybody may list. What vanishes meanwhile is not there.
fn open_folders(hidden: &[PathBuf], folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .map(|entry| entry.path())
        .filter(|path| !is_hidden(hidden, path) && is_open(path))
        .collect()
}

fn is_open(folder: &Path) -> bool {
    access(folder, Access::READ_OK | Access::EXEC_OK).is_ok()
}

/// One of the host's mounts.
struct Mount {
    place: PathBuf,
    /// Its files lie on a disk, or are an overlay of such.
    is_files: bool,
}

impl Mount {
    fn of((place, kind): (PathBuf, &str)) -> Self {
        let is_files = kind == "overlay" || DISK_TYPES.contains(&kind);
        Self { place, is_files }
    }

    fn lets_be_a_layer(&self, folder: &Path) -> bool {
        !self.place.starts_with(folder) || (self.place == folder && self.is_files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_keep_it_from_being_a_layer() {
        let lets = |line: &str| {
            mounts(line)
                .map(Mount::of)
                .all(|mount| mount.lets_be_a_layer(Path::new("/etc")))
        };
        assert!(lets("22 1 254:0 / / rw - ext4 /dev/vda rw"));
        assert!(lets("22 1 254:0 / /etc rw - ext4 /dev/vda rw"));
        assert!(lets("22 1 254:0 / /etcetera/x rw - tmpfs t rw"));
        assert!(!lets("22 1 254:0 / /etc rw - tmpfs t rw"));
        assert!(!lets("22 1 254:0 / /etc/hosts rw - ext4 /dev/vda rw"));
    }
}
