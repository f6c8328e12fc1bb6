//! Folders of a machine's root that are overlays of their own, as the host view has them without root.
//!
//! Their upper folders lie in the root's upper folder, so that all that a step writes is one layer.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::root::mount_root;
use crate::error::{SetupError, Stage};
use crate::launcher::{Context, ViewPart};
use crate::overlay::Overlay;
use crate::request::RootFs;

/// The folders that one overlay is mounted from.
struct Folders {
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
    mount_point: PathBuf,
}

/// Mounts a machine's root and what is mounted in it.
pub(super) fn mount_root_and_parts(context: &Context, rootfs: &RootFs) -> Result<(), SetupError> {
    let view = context.host_view.as_ref().filter(|_| rootfs.host_root);
    let parts = view.map_or(&[][..], |view| &view.parts);
    let folders = parts
        .iter()
        .map(|part| folders(part, rootfs))
        .collect::<Result<Vec<_>, _>>()?;
    let overlays: Vec<Overlay<'_>> = folders
        .iter()
        .map(|folders| Overlay {
            lower: folders.lower.iter().map(PathBuf::as_path).collect(),
            base: &rootfs.lower_base,
            writable: Some((&folders.upper, &folders.work)),
            mount_point: &folders.mount_point,
            user_xattr: context.rootless,
            classic: context.classic_mount,
        })
        .collect();
    // The root comes last: the kernel complains of an upper folder that lies in one which is in use.
    let prepared = overlays.iter().map(Overlay::prepare).collect::<Result<Vec<_>, _>>()?;
    mount_root(context, rootfs)?;
    overlays
        .iter()
        .zip(prepared)
        .try_for_each(|(overlay, prepared)| overlay.place(prepared))
}

fn folders(part: &ViewPart, rootfs: &RootFs) -> Result<Folders, SetupError> {
    let upper = rootfs.upper.join(&part.name);
    let work = rootfs.work.join("parts").join(&part.name);
    let mode = part.lower.first().and_then(|top| fs::metadata(top).ok());
    make_folder(&upper, mode.map_or(0o755, |top| top.mode() & 0o7777))?;
    make_folder(&rootfs.work.join("parts"), 0o700)?;
    make_folder(&work, 0o700)?;
    let of_layers = rootfs.lower.iter().map(|layer| layer.join(&part.name));
    let is_folder = |path: &PathBuf| {
        let found = fs::symlink_metadata(rootfs.lower_base.join(path));
        found.is_ok_and(|found| found.is_dir())
    };
    let of_layers = of_layers.filter(is_folder);
    Ok(Folders {
        lower: of_layers.chain(part.lower.iter().cloned()).collect(),
        upper,
        work,
        mount_point: rootfs.merged.join(&part.name),
    })
}

/// A folder that an earlier command made stays as it is.
fn make_folder(path: &Path, mode: u32) -> Result<(), SetupError> {
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        SetupError::new(Stage::Overlay, errno, path)
    };
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
