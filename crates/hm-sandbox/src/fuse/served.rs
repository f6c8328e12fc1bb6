//! One machine's root that a fuse-overlayfs(1) serves.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::{Pid, Signal, WaitOptions, pidfd_send_signal, waitpid};

use super::{server, settle, trial::DEVICE};
use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::request::RootFs;
use crate::sys::{self, CloneFlags, Cloned};

/// A mount and the process behind it. The launcher holds both until the machine's process is gone.
#[derive(Debug)]
pub(crate) struct Served {
    /// Not attached anywhere yet.
    mount: OwnedFd,
    upper: PathBuf,
    /// Top first.
    lower: Vec<PathBuf>,
    pid: Pid,
    pidfd: OwnedFd,
}

impl Served {
    /// Makes the mount and starts its server.
    pub(crate) fn start(context: &Context, program: &Path, rootfs: &RootFs) -> Result<Self, SetupError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let device = rustix::fs::open(DEVICE, flags, Mode::empty()).map_err(at(Stage::Fuse, DEVICE))?;
        let mount = mount(&device).map_err(at(Stage::Fuse, ""))?;
        let lower = context.layers(rootfs)?;
        let cloned = sys::clone_process(&context.single_thread, CloneFlags::NONE);
        match cloned.map_err(at(Stage::Fuse, ""))? {
            Cloned::Child => {
                // What keeps it from serving shows as the end of this process.
                let _failed = server::become_server(context, program, &device, &lower, rootfs);
                sys::exit_now(1)
            }
            Cloned::Parent { pid, pidfd } => Ok(Self {
                mount,
                upper: rootfs.upper.clone(),
                lower,
                pid,
                pidfd,
            }),
        }
    }

    /// The mount, for the process that attaches it.
    pub(crate) fn mount(&self) -> &OwnedFd {
        &self.mount
    }

    /// A pidfd of the server.
    pub(crate) fn process(&self) -> &OwnedFd {
        &self.pidfd
    }

    pub(crate) fn has_ended(&self) -> bool {
        let mut process = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut process, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
    }

    /// Brings what was written to the upper folder into the kernel's form. No process of the machine may be left.
    pub(crate) fn settle(&self) -> Result<(), SetupError> {
        settle::settle(&self.upper, &self.lower, self.mount.as_fd())
    }

    /// Ends the server. `false`: it had ended before.
    pub(crate) fn end(self) -> bool {
        let served = matches!(waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(None));
        if served {
            let _gone = pidfd_send_signal(&self.pidfd, Signal::KILL);
            let _ended = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()));
        }
        served
    }
}

/// A file system that `device` serves (kernel: Documentation/filesystems/fuse.rst). What is written is on its way to the
/// server at the latest when the mount is synced.
fn mount(device: &OwnedFd) -> Result<OwnedFd, Errno> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "fuse-overlayfs")?;
    fsconfig_set_string(&context, "fd", device.as_raw_fd().to_string())?;
    for (key, value) in [("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")] {
        fsconfig_set_string(&context, key, value)?;
    }
    // Permissions are the kernel's business, and other users of the machine use it as well.
    for flag in ["default_permissions", "allow_other"] {
        fsconfig_set_flag(&context, flag)?;
    }
    fsconfig_create(&context)?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NODEV,
    )
}
