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

use super::host_mounts::{HostMounts, ViewBind, mounts};
use super::host_parts::{self, Parts, ViewPart};
use super::private::{EMPTIED, hidden_paths, is_hidden};
use super::process::Context;
use super::start::io_error;
use crate::error::{SetupError, Stage, at};
use crate::overlay::Overlay;
use crate::request::HostView;

/// What name services are set up with. A container has mounts in their places.
pub(super) const NAME_SERVICE: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

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
    let of_host = HostMounts::new(&layers, &hidden, context.classic_mount);
    if context.rootless || context.copies_roots() {
        let Parts { parts, bound } = host_parts::make(&layers, &hidden, &table, !context.copies_roots())?;
        return Ok(MountedView {
            roots: vec![layers.skeleton.clone()],
            parts,
            binds: with_exposed(of_host.bind(&bound)?, view)?,
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
    Ok(MountedView {
        roots: vec![root],
        parts: Vec::new(),
        binds: with_exposed(of_host.overlay(&table)?, view)?,
    })
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

    /// Something to mount a mount of the host on.
    pub(super) fn place_of_mount(&self, number: usize, is_folder: bool) -> Result<PathBuf, SetupError> {
        let place = self.dir.join(format!("m{number}"));
        if is_folder {
            make_folder(&place, 0o755)?;
        } else {
            Self::file(&place, b"")?;
        }
        Ok(place)
    }

    /// What skeleton and whiteouts have for a folder of the host. The first is there.
    pub(super) fn of_folder(&self, path: &Path) -> Result<[PathBuf; 2], SetupError> {
        self.copied_folder(path)?;
        let relative = path.strip_prefix("/").unwrap_or(path);
        Ok([self.skeleton.join(relative), self.whiteouts.join(relative)])
    }

    /// What is seen in place of a path where no whiteout hides it: a folder with what is exposed below it, or an empty
    /// file.
    pub(super) fn cover_of(&self, path: &Path, is_folder: bool) -> PathBuf {
        if !is_folder {
            return self.dir.join("file");
        }
        let in_skeleton = self.skeleton.join(path.strip_prefix("/").unwrap_or(path));
        if in_skeleton.is_dir() {
            in_skeleton
        } else {
            self.dir.join("empty")
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

/// Mounts that complete the view, and what the caller exposes.
fn with_exposed(mut binds: Vec<ViewBind>, view: &HostView) -> Result<Vec<ViewBind>, SetupError> {
    for path in &view.expose {
        std::fs::metadata(path).map_err(|error| io_error(Stage::HostView, path, &error))?;
        binds.push(ViewBind {
            source: path.clone(),
            target: path.clone(),
        });
    }
    Ok(binds)
}
