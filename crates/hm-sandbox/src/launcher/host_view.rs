//! The host view: a read-only overlay of the host's root that hides what is private.
//!
//! Its layers are a skeleton (empty folders in place of hidden ones), whiteouts of all that is hidden, and `/`. The
//! first two live on a tmpfs, because a layer must not lie beneath another one. All of it is mounted in the launcher's
//! namespace only and goes with it.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount as mount_any};

use super::host_parts::{self, Parts, ViewPart};
use super::process::Context;
use super::start::io_error;
use crate::error::{SetupError, Stage, at};
use crate::overlay::Overlay;
use crate::request::HostView;

/// Folders that are replaced by empty ones, with their modes.
const EMPTIED: [(&str, u32); 8] = [
    ("/home", 0o755),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
    ("/mnt", 0o755),
    ("/media", 0o755),
    ("/srv", 0o755),
];

/// Files and folders that hold secrets.
const SECRET: [&str; 12] = [
    "/etc/NetworkManager/system-connections",
    "/etc/krb5.keytab",
    "/etc/ssl/private",
    "/etc/wireguard",
    "/lost+found",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/lib/private",
    "/var/lib/sss",
    "/var/spool/cron",
];

/// Folders with files of varying names that hold secrets.
const SECRET_PREFIXES: [(&str, &str); 4] = [
    ("/etc", "shadow"),
    ("/etc", "gshadow"),
    ("/etc", "passwd-"),
    ("/etc/ssh", "ssh_host_"),
];

/// File systems whose mounts are part of the host's software.
pub(super) const DISK_TYPES: [&str; 10] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "erofs", "squashfs",
];

/// What name services are set up with. A container has mounts in their places.
const NAME_SERVICE: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

/// Mounts that no build needs.
pub(super) const SKIPPED_MOUNTS: [&str; 5] = ["/boot", "/efi", "/snap", "/var/snap", "/var/lib/snapd"];

/// The view, mounted.
#[derive(Debug)]
pub(crate) struct MountedView {
    /// The lowest layers of machines with a host root, top first.
    pub(crate) roots: Vec<PathBuf>,
    /// What machines mount below their root by itself.
    pub(crate) parts: Vec<ViewPart>,
    /// Mounts that complete it; all read-only.
    pub(crate) binds: Vec<ViewBind>,
}

#[derive(Debug)]
pub(crate) struct ViewBind {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) recursive: bool,
}

pub(super) fn mount(view: &HostView, context: &Context) -> Result<MountedView, SetupError> {
    let hidden = hidden_paths(view);
    let layers = Layers::make(&view.dir)?;
    for path in &hidden {
        layers.whiteout(path)?;
    }
    for (path, mode) in EMPTIED {
        layers.folder(Path::new(path), mode)?;
    }
    layers.folder(Path::new("/run/lock"), 0o1777)?;
    for path in view.expose.iter().filter(|path| is_hidden(&hidden, path)) {
        layers.mount_point(path)?;
    }
    let table = "/proc/self/mountinfo";
    let table = std::fs::read_to_string(table).map_err(|error| io_error(Stage::HostView, table, &error))?;
    layers.copy_name_service(&hidden, &table)?;
    if context.rootless || context.copies_roots() {
        let Parts { parts, bound } = host_parts::make(&layers, &hidden, &table, !context.copies_roots())?;
        return Ok(MountedView {
            roots: vec![layers.skeleton.clone()],
            parts,
            binds: binds(view, &hidden, &layers.dir, &bound, true)?,
        });
    }
    let root = layers.dir.join("v");
    Overlay {
        lower: vec![&layers.skeleton, &layers.whiteouts, Path::new("/")],
        base: &layers.dir,
        writable: None,
        mount_point: &root,
        user_xattr: false,
        classic: context.classic_mount,
    }
    .mount()?;
    rustix::process::chdir("/").map_err(at(Stage::HostView, "/"))?;
    let mounts: Vec<PathBuf> = disk_mounts(&table)
        .filter(|path| !is_hidden(&hidden, path) && !SKIPPED_MOUNTS.iter().any(|skipped| path.starts_with(skipped)))
        .collect();
    Ok(MountedView {
        roots: vec![root],
        parts: Vec::new(),
        binds: binds(view, &hidden, &layers.dir, &mounts, false)?,
    })
}

/// All that exists and is hidden, without what lies beneath another one.
fn hidden_paths(view: &HostView) -> Vec<PathBuf> {
    let fixed = EMPTIED.iter().map(|(path, _)| *path).chain(SECRET).map(PathBuf::from);
    let found = SECRET_PREFIXES
        .iter()
        .flat_map(|(folder, prefix)| entries_starting_with(folder, prefix));
    let mut paths: Vec<PathBuf> = fixed
        .chain(found)
        .chain(view.hidden.iter().cloned())
        .flat_map(|path| real_places(&path))
        .collect();
    paths.sort();
    paths.dedup_by(|later, kept| later.starts_with(&*kept));
    paths
}

fn entries_starting_with(folder: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()));
    names.map(|entry| entry.path()).collect()
}

/// A path without links on the way, and what it links to itself. The root is never hidden.
fn real_places(path: &Path) -> Vec<PathBuf> {
    let by_parent = match (path.parent().map(std::fs::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => Some(parent.join(name)).filter(|place| place.symlink_metadata().is_ok()),
        _ => None,
    };
    let target = std::fs::canonicalize(path).ok();
    by_parent
        .into_iter()
        .chain(target)
        .filter(|place| place.parent().is_some())
        .collect()
}

pub(super) fn is_hidden(hidden: &[PathBuf], path: &Path) -> bool {
    hidden.iter().any(|hidden| path.starts_with(hidden))
}

/// The two layers on a tmpfs.
pub(super) struct Layers {
    dir: PathBuf,
    pub(super) skeleton: PathBuf,
    pub(super) whiteouts: PathBuf,
}

impl Layers {
    fn make(dir: &Path) -> Result<Self, SetupError> {
        let failed = |error| io_error(Stage::HostView, dir, &error);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(dir)
            .map_err(failed)?;
        mount_any("tmpfs", dir, "tmpfs", MountFlags::NOSUID, c"mode=755").map_err(at(Stage::HostView, dir))?;
        let layers = Self {
            dir: dir.to_owned(),
            skeleton: dir.join("s"),
            whiteouts: dir.join("x"),
        };
        for name in ["s", "x", "v", "empty"] {
            make_folder(&dir.join(name), 0o755)?;
        }
        std::fs::write(dir.join("file"), b"").map_err(failed)?;
        Ok(layers)
    }

    fn whiteout(&self, path: &Path) -> Result<(), SetupError> {
        let place = Self::place(&self.whiteouts, path)?;
        rustix::fs::mknodat(CWD, &place, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(at(Stage::HostView, &place))
    }

    pub(super) fn folder(&self, path: &Path, mode: u32) -> Result<(), SetupError> {
        let place = Self::place(&self.skeleton, path)?;
        make_folder(&place, mode)
    }

    /// A folder as the host has it.
    pub(super) fn copied_folder(&self, path: &Path) -> Result<(), SetupError> {
        let place = Self::place(&self.skeleton, path)?;
        if place.is_dir() {
            return Ok(());
        }
        copy_folder(path, &place)
    }

    /// All that may be read of a folder.
    pub(super) fn copied_tree(&self, folder: &Path, hidden: &[PathBuf]) -> Result<(), SetupError> {
        let failed = |path: &Path, error: std::io::Error| io_error(Stage::HostView, path, &error);
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
            entries => entries.map_err(|error| failed(folder, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed(folder, error))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|error| failed(folder, error))?);
            let place = Self::place(&self.skeleton, &path)?;
            // What is there is what machines see instead.
            if is_hidden(hidden, &path) || (!kind.is_dir() && place.symlink_metadata().is_ok()) {
                continue;
            }
            if kind.is_dir() {
                self.copied_folder(&path)?;
                self.copied_tree(&path, hidden)?;
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).map_err(|error| failed(&path, error))?;
                std::os::unix::fs::symlink(target, place).map_err(|error| failed(&path, error))?;
            } else if kind.is_file() {
                copy_file(&path, &place).map_err(|error| failed(&path, error))?;
            }
        }
        Ok(())
    }

    /// Something to mount an exposed path on.
    fn mount_point(&self, path: &Path) -> Result<(), SetupError> {
        let place = Self::place(&self.skeleton, path)?;
        if path.is_dir() {
            make_folder(&place, 0o755)
        } else {
            Self::file(&place, b"")
        }
    }

    /// What lives in `/run`, or is a mount that no overlay shows, is needed nevertheless. A mount in its place in
    /// machines would hide what their layers say.
    fn copy_name_service(&self, hidden: &[PathBuf], table: &str) -> Result<(), SetupError> {
        for path in NAME_SERVICE.map(Path::new) {
            let is_elsewhere = std::fs::canonicalize(path)
                .is_ok_and(|real| is_hidden(hidden, &real) || mounts(table).any(|(place, _)| place == real));
            if is_elsewhere {
                let text = std::fs::read(path).map_err(|error| io_error(Stage::HostView, path, &error))?;
                Self::file(&Self::place(&self.skeleton, path)?, &text)?;
            }
        }
        Ok(())
    }

    fn file(place: &Path, text: &[u8]) -> Result<(), SetupError> {
        let failed = |error| io_error(Stage::HostView, place, &error);
        std::fs::write(place, text).map_err(failed)?;
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o644)).map_err(failed)
    }

    /// Where a path of the host lies in a layer. Its parents are made as they are on the host, because the topmost
    /// layer says how a folder looks.
    fn place(layer: &Path, path: &Path) -> Result<PathBuf, SetupError> {
        let mut place = layer.to_owned();
        let mut host = PathBuf::from("/");
        let parents = path.parent().into_iter().flat_map(Path::components).skip(1);
        for component in parents {
            place.push(component);
            host.push(component);
            if !place.is_dir() {
                copy_folder(&host, &place)?;
            }
        }
        Ok(place.join(path.file_name().unwrap_or_default()))
    }
}

fn copy_folder(host: &Path, place: &Path) -> Result<(), SetupError> {
    let metadata = std::fs::metadata(host).map_err(|error| io_error(Stage::HostView, host, &error))?;
    make_folder(place, metadata.mode() & 0o7777)?;
    give_away(place, &metadata).map_err(|error| io_error(Stage::HostView, place, &error))
}

/// One that may not be read is not there.
fn copy_file(host: &Path, place: &Path) -> std::io::Result<()> {
    match std::fs::copy(host, place) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        copied => copied?,
    };
    let metadata = std::fs::metadata(host)?;
    give_away(place, &metadata)?;
    File::options()
        .write(true)
        .open(place)?
        .set_modified(metadata.modified()?)
}

fn give_away(place: &Path, metadata: &Metadata) -> std::io::Result<()> {
    match std::os::unix::fs::chown(place, Some(metadata.uid()), Some(metadata.gid())) {
        // In a user namespace with a single id it stays the caller's.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::PERM)) => Ok(()),
        given => given,
    }
}

fn make_folder(place: &Path, mode: u32) -> Result<(), SetupError> {
    match std::fs::create_dir(place) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(io_error(Stage::HostView, place, &error));
        }
        _ => {}
    }
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode))
        .map_err(|error| io_error(Stage::HostView, place, &error))
}

/// What the host has that an overlay does not show, covers for what is hidden in it, and what the caller exposes.
fn binds(
    view: &HostView,
    hidden: &[PathBuf],
    dir: &Path,
    mounts: &[PathBuf],
    recursive: bool,
) -> Result<Vec<ViewBind>, SetupError> {
    let covered = hidden
        .iter()
        .filter(|path| mounts.iter().any(|mount| path.starts_with(mount)));
    let covers = covered.map(|path| {
        let source = dir.join(if path.is_dir() { "empty" } else { "file" });
        ViewBind {
            source,
            target: path.clone(),
            recursive: false,
        }
    });
    let mut binds: Vec<ViewBind> = mounts
        .iter()
        .map(|path| ViewBind {
            source: path.clone(),
            target: path.clone(),
            recursive,
        })
        .collect();
    binds.extend(covers);
    for path in &view.expose {
        std::fs::metadata(path).map_err(|error| io_error(Stage::HostView, path, &error))?;
        binds.push(ViewBind {
            source: path.clone(),
            target: path.clone(),
            recursive: true,
        });
    }
    Ok(binds)
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
    fn only_disk_mounts_other_than_the_root_are_bound() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     23 22 0:5 / /dev rw - devtmpfs dev rw\n\
                     24 22 254:1 / /opt/my\\040disk rw,noatime shared:1 - xfs /dev/vdb rw\n\
                     25 22 254:0 /c/hosts /etc/hosts rw - ext4 /dev/vda rw\n";
        assert_eq!(disk_mounts(table).collect::<Vec<_>>(), [PathBuf::from("/opt/my disk")]);
    }
}
