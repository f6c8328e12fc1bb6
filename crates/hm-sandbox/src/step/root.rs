//! The step's root file system.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, UnmountFlags, open_tree, unmount};

use crate::copies;
use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::overlay::{self, Overlay};
use crate::protocol::StepPlan;
use crate::request::{Network, RootFs};
use crate::step::devices::{self, Nodes, Sysfs};
use crate::step::parts;
use crate::sys;

/// A mount of the host that waits to be attached in the machine.
struct PendingBind {
    mount: OwnedFd,
    target: PathBuf,
    is_folder: bool,
}

/// Mounts the root, changes to it, and completes it with binds, `/proc`, `/dev` and `/sys`.
pub(super) fn enter(context: &Context, plan: &StepPlan) -> Result<(), SetupError> {
    let binds = open_binds(context, plan)?;
    let nodes = if context.device_nodes {
        Nodes::Make
    } else {
        devices::host_nodes()?
    };
    // sysfs shows the network namespace of who mounts it, and may be mounted only by who owns that one.
    let sysfs = if plan.network == Network::Host && context.rootless {
        Sysfs::Bind(clone_tree(Path::new("/sys"), true, true).map_err(at(Stage::Sys, "/sys"))?)
    } else {
        Sysfs::Mount
    };
    parts::mount_root_and_parts(context, &plan.rootfs)?;
    pivot(&plan.rootfs.merged)?;
    // The old root lies on top of the new one until the end: a user namespace may mount proc and sysfs only as long as
    // it can see another one. Absolute paths are found in the new root from here on, so that no link in an image leads
    // out of it.
    for bind in &binds {
        attach_bind(bind)?;
    }
    devices::mount_proc()?;
    if !context.rootless {
        // Without root on the host the kernel itself refuses to be changed.
        devices::protect_proc()?;
    }
    devices::make_dev(&nodes, context.has_other_ids())?;
    devices::mount_sys(sysfs)?;
    devices::mask()?;
    unmount(".", UnmountFlags::DETACH).map_err(at(Stage::Pivot, ""))?;
    rustix::process::chdir("/").map_err(at(Stage::Pivot, "/"))
}

/// Mounts a machine's overlay, or the copy that stands for it, at its `merged` folder.
pub(crate) fn mount_root(context: &Context, rootfs: &RootFs) -> Result<(), SetupError> {
    if context.copies_roots() {
        return copies::attach_root(context, rootfs);
    }
    let mut lower: Vec<&Path> = rootfs.lower.iter().map(PathBuf::as_path).collect();
    if rootfs.host_root {
        let view = context.host_view.as_ref();
        let view = view.ok_or_else(|| SetupError::new(Stage::HostRoot, Errno::OPNOTSUPP, ""))?;
        lower.extend(view.roots.iter().map(PathBuf::as_path));
    }
    Overlay {
        lower,
        base: &rootfs.lower_base,
        writable: Some((&rootfs.upper, &rootfs.work)),
        mount_point: &rootfs.merged,
        user_xattr: context.rootless,
        classic: context.classic_mount,
    }
    .mount()
}

fn pivot(new_root: &Path) -> Result<(), SetupError> {
    let failed = || at(Stage::Pivot, new_root);
    rustix::process::chdir(new_root).map_err(failed())?;
    rustix::process::pivot_root(".", ".").map_err(failed())
}

fn open_binds(context: &Context, plan: &StepPlan) -> Result<Vec<PendingBind>, SetupError> {
    let view = context.host_view.as_ref().filter(|_| plan.rootfs.host_root);
    let of_host = view
        .into_iter()
        .flat_map(|view| &view.binds)
        .map(|bind| (&bind.source, &bind.target, true));
    let of_step = plan
        .binds
        .iter()
        .map(|bind| (&bind.source, &bind.target, bind.read_only));
    of_host
        .chain(of_step)
        .map(|(source, target, read_only)| {
            let failed = || at(Stage::Bind, source);
            let mount = clone_files(source, read_only, true).map_err(failed())?;
            let stat = rustix::fs::statx(&mount, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE).map_err(failed())?;
            let is_folder = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
            Ok(PendingBind {
                mount,
                target: target.clone(),
                is_folder,
            })
        })
        .collect()
}

/// A detached copy of what is mounted at a path.
pub(crate) fn clone_tree(path: &Path, read_only: bool, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    let mount = open_tree(CWD, path, flags)?;
    if read_only {
        sys::make_read_only(mount.as_fd())?;
    }
    Ok(mount)
}

/// The same for files of the host that a step is to see: devices among them stay closed.
pub(crate) fn clone_files(path: &Path, read_only: bool, recursive: bool) -> Result<OwnedFd, Errno> {
    let mount = clone_tree(path, read_only, recursive)?;
    sys::forbid_devices(mount.as_fd())?;
    Ok(mount)
}

fn attach_bind(bind: &PendingBind) -> Result<(), SetupError> {
    let failed = || at(Stage::Bind, &bind.target);
    match overlay::attach(&bind.mount, &bind.target) {
        Err(SetupError {
            errno: Errno::NOENT, ..
        }) => {}
        result => return result,
    }
    if bind.is_folder {
        make_folders(&bind.target).map_err(failed())?;
    } else {
        if let Some(parent) = bind.target.parent() {
            make_folders(parent).map_err(failed())?;
        }
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let _made = rustix::fs::open(&bind.target, flags, Mode::from_raw_mode(0o644)).map_err(failed())?;
    }
    overlay::attach(&bind.mount, &bind.target)
}

fn make_folders(path: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            make_folders(path.parent().ok_or(Errno::NOENT)?)?;
            rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))
        }
        result => result,
    }
}
