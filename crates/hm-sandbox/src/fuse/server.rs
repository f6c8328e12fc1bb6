//! The process behind a mount: fuse-overlayfs(1).

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::request::RootFs;
use crate::step;

/// Gives up what it needs not and executes the program. Folders are named by descriptors: it would take colons, commas and
/// backslashes of paths for its own.
pub(super) fn become_server(
    context: &Context,
    program: &Path,
    device: &OwnedFd,
    lower: &[PathBuf],
    rootfs: &RootFs,
) -> Result<Infallible, SetupError> {
    let failed = || at(Stage::Fuse, program);
    step::tie_to_launcher(context, [device].into_iter())?;
    // Each layer takes one, and each open file of the machine.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .map_err(failed())?;
    fcntl_setfd(device, FdFlags::empty()).map_err(failed())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stdin()).map_err(failed())?;
    rustix::stdio::dup2_stderr(rustix::stdio::stdin()).map_err(failed())?;
    let mut folders = Folders::default();
    let mut options = OsString::from("lowerdir=");
    for (position, layer) in lower.iter().enumerate() {
        if position > 0 {
            options.push(":");
        }
        options.push(folders.name(layer)?);
    }
    for (key, folder) in [(",upperdir=", &rootfs.upper), (",workdir=", &rootfs.work)] {
        options.push(key);
        options.push(folders.name(folder)?);
    }
    // As with the kernel's: what is lost in a power cut is the store's business.
    options.push(",volatile");
    step::drop_privileges()?;
    context.filter.install().map_err(at(Stage::Confine, "seccomp"))?;
    let error = Command::new(program)
        .args(["-f", "-o"])
        .arg(options)
        .arg(format!("/dev/fd/{}", device.as_raw_fd()))
        .env_clear()
        .exec();
    Err(failed()(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

/// Folders that stay open past execve(2).
#[derive(Default)]
struct Folders(Vec<OwnedFd>);

impl Folders {
    fn name(&mut self, folder: &Path) -> Result<String, SetupError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = rustix::fs::open(folder, flags, Mode::empty()).map_err(at(Stage::Layer, folder))?;
        let name = format!("/proc/self/fd/{}", opened.as_raw_fd());
        self.0.push(opened);
        Ok(name)
    }
}
