//! Where a machine's copy lies, from its making to its end.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::entries::list;
use super::stack::Stack;
use super::{fill, record as recording};
use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::overlay::{OPAQUE_BY_ROOT, OPAQUE_BY_USER, attach};
use crate::request::RootFs;
use crate::step;

/// Makes a machine's root and attaches it at its `merged` folder.
pub(crate) fn attach_root(context: &Context, rootfs: &RootFs) -> Result<(), SetupError> {
    refuse_covered(context, rootfs)?;
    let place = Place::of(context, rootfs)?;
    clear(&place.root)?;
    let root = make_empty(&place.unfinished)?;
    let mut layers = vec![rootfs.upper.clone()];
    layers.extend_from_slice(&place.lower);
    fill::fill(&Stack::open(&layers, place.mark)?, &root)?;
    rustix::fs::rename(&place.unfinished, &place.root).map_err(at(Stage::Copy, &place.root))?;
    let failed = || at(Stage::Attach, &rootfs.merged);
    let mount = step::clone_files(&place.root, false, false).map_err(failed())?;
    attach(&mount, &rootfs.merged)
}

/// Makes the upper folder what an overlay's would be, and removes the copy. No process of the machine may be left. What was
/// killed while the copy was made has changed nothing.
pub(crate) fn record(context: &Context, rootfs: &RootFs) -> Result<(), SetupError> {
    rustix::process::umask(Mode::empty());
    let place = Place::of(context, rootfs)?;
    let root = match open(&place.root) {
        Err(error) if error.errno == Errno::NOENT => return clear(&place.unfinished),
        root => root?,
    };
    let layer = make_empty(&place.layer)?;
    recording::record(&Stack::open(&place.lower, place.mark)?, &root, &layer)?;
    renameat_with(CWD, &place.layer, CWD, &rootfs.upper, RenameFlags::EXCHANGE)
        .map_err(at(Stage::Record, &rootfs.upper))?;
    clear(&place.layer)?;
    clear(&place.root)
}

struct Place {
    /// What will be `root`.
    unfinished: PathBuf,
    root: PathBuf,
    /// Where the layer is made.
    layer: PathBuf,
    /// Top first, without the machine's own.
    lower: Vec<PathBuf>,
    /// The attribute of opaque folders.
    mark: &'static str,
}

impl Place {
    fn of(context: &Context, rootfs: &RootFs) -> Result<Self, SetupError> {
        Ok(Self {
            unfinished: rootfs.work.join("unfinished"),
            root: rootfs.work.join("root"),
            layer: rootfs.work.join("layer"),
            lower: context.layers(rootfs)?,
            mark: if context.rootless {
                OPAQUE_BY_USER
            } else {
                OPAQUE_BY_ROOT
            },
        })
    }
}

/// What is bound over a folder hides it. A layer that was made with overlays may have something there.
fn refuse_covered(context: &Context, rootfs: &RootFs) -> Result<(), SetupError> {
    let view = context.host_view.as_ref().filter(|_| rootfs.host_root);
    let targets = view.into_iter().flat_map(|view| &view.binds).map(|bind| &bind.target);
    for target in targets.filter(|target| target.parent() == Some(Path::new("/"))) {
        let name = target.strip_prefix("/").unwrap_or(target);
        for layer in rootfs.lower.iter().chain([&rootfs.upper]) {
            match open(&rootfs.lower_base.join(layer).join(name))
                .map_err(|error| error.errno)
                .and_then(list)
            {
                Ok(entries) if entries.is_empty() => {}
                Ok(_entries) => return Err(SetupError::new(Stage::Covered, Errno::NOTEMPTY, target)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(SetupError::new(Stage::Covered, errno, target)),
            }
        }
    }
    Ok(())
}

fn open(folder: &Path) -> Result<OwnedFd, SetupError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty()).map_err(at(Stage::Copy, folder))
}

/// What is there is left from a machine that was killed.
fn make_empty(folder: &Path) -> Result<OwnedFd, SetupError> {
    clear(folder)?;
    fs::create_dir(folder).map_err(|error| io_error(folder, &error))?;
    open(folder)
}

/// It may be large, but who waits for the end of a machine wants the space.
fn clear(folder: &Path) -> Result<(), SetupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(folder, &error)),
        _ => Ok(()),
    }
}

fn io_error(folder: &Path, error: &std::io::Error) -> SetupError {
    SetupError::new(Stage::Copy, Errno::from_io_error(error).unwrap_or(Errno::IO), folder)
}
