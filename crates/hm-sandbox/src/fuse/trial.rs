//! Who mounts overlays here.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::error::{SetupError, Stage, at};
use crate::overlay::Overlay;
use crate::request::Overlays;

/// Where fuse-overlayfs(1) talks to the kernel (fuse(4)).
pub(super) const DEVICE: &str = "/dev/fuse";

/// The fuse-overlayfs(1) to use; `None`: the kernel mounts overlays. For a launcher in a user namespace.
pub(crate) fn choose(overlays: &Overlays, classic: bool) -> Result<Option<PathBuf>, SetupError> {
    let program = match overlays {
        Overlays::Kernel => return Ok(None),
        Overlays::KernelElseFuse { trial, fuse_overlayfs } => match (try_kernel(trial, classic)?, fuse_overlayfs) {
            (Tried::Mounted, _) => return Ok(None),
            (Tried::Refused(errno), None) => return Err(SetupError::new(Stage::OverlayTrial, errno, "")),
            (Tried::Refused(_), Some(program)) => program,
        },
        Overlays::Fuse { fuse_overlayfs } => fuse_overlayfs,
    };
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let _opens = rustix::fs::open(DEVICE, flags, Mode::empty()).map_err(at(Stage::Fuse, DEVICE))?;
    Ok(Some(program.clone()))
}

#[derive(Debug, PartialEq, Eq)]
enum Tried {
    Mounted,
    Refused(Errno),
}

/// Mounts an overlay in `folder` as machines do, and takes everything away again.
fn try_kernel(folder: &Path, classic: bool) -> Result<Tried, SetupError> {
    let [lower, upper, work, merged] = ["l", "u", "w", "m"].map(|name| folder.join(name));
    let made = [&lower, &upper, &work, &merged]
        .into_iter()
        .try_for_each(fs::create_dir_all);
    made.map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        SetupError::new(Stage::Overlay, errno, folder)
    })?;
    let mounted = Overlay {
        lower: vec![&lower],
        base: folder,
        writable: Some((&upper, &work)),
        mount_point: &merged,
        user_xattr: true,
        classic,
    }
    .mount();
    rustix::process::chdir("/").map_err(at(Stage::Overlay, "/"))?;
    let tried = match mounted {
        Ok(()) => Tried::Mounted,
        Err(error) => Tried::Refused(error.errno),
    };
    if tried == Tried::Mounted {
        unmount(&merged, UnmountFlags::DETACH).map_err(at(Stage::Overlay, &merged))?;
    }
    // It lies where the caller removes what is left.
    let _left = fs::remove_dir_all(folder);
    Ok(tried)
}
