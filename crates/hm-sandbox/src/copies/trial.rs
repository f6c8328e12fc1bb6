//! Whether the kernel mounts overlays here.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::entries::make_removal;
use crate::error::{SetupError, Stage, at};
use crate::overlay::Overlay;
use crate::request::{Overlays, Roots};

/// What the roots of machines are to be.
pub(crate) fn choose(overlays: &Overlays, rootless: bool, classic: bool) -> Result<Roots, SetupError> {
    match overlays {
        Overlays::Always => Ok(Roots::Overlays),
        Overlays::Never => Ok(Roots::Copies { refused: None }),
        Overlays::WherePossible { trial } => {
            let made = fs::create_dir_all(trial);
            made.map_err(|error| {
                SetupError::new(Stage::Overlay, Errno::from_io_error(&error).unwrap_or(Errno::IO), trial)
            })?;
            let tried = try_in(trial, rootless, classic);
            // It lies where the caller removes what is left.
            let _left = fs::remove_dir_all(trial);
            tried
        }
    }
}

/// Mounts an overlay in `folder` as machines do. Where that fails, tries whether layers can be kept at all.
fn try_in(folder: &Path, rootless: bool, classic: bool) -> Result<Roots, SetupError> {
    let [lower, upper, work, merged] = ["l", "u", "w", "m"].map(|name| folder.join(name));
    for made in [&lower, &upper, &work, &merged] {
        rustix::fs::mkdir(made, Mode::RWXU).map_err(at(Stage::Overlay, made))?;
    }
    let mounted = Overlay {
        lower: vec![&lower],
        base: folder,
        writable: Some((&upper, &work)),
        mount_point: &merged,
        user_xattr: rootless,
        classic,
    }
    .mount();
    rustix::process::chdir("/").map_err(at(Stage::Overlay, "/"))?;
    let Err(refused) = mounted else {
        unmount(&merged, UnmountFlags::DETACH).map_err(at(Stage::Overlay, &merged))?;
        return Ok(Roots::Overlays);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &upper, flags, Mode::empty())
        .and_then(|layer| make_removal(&layer, c"removed"))
        .map_err(at(Stage::OverlayTrial, folder))?;
    Ok(Roots::Copies {
        refused: Some(refused.errno.raw_os_error()),
    })
}
