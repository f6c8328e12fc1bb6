//! Why the sandbox could not do its job.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The part of the set-up that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Entering namespaces: clone3(2), unshare(2), id maps.
    Namespaces = 1,
    /// Naming a layer to the overlay.
    Layer = 2,
    /// Mounting the overlay.
    Overlay = 3,
    /// The overlay that was mounted is not the one asked for.
    OverlayCheck = 4,
    /// Attaching a mount below the new root.
    Attach = 5,
    /// Opening the source of a bind mount, or making its target.
    Bind = 6,
    /// Changing the root: `pivot_root(2)`.
    Pivot = 7,
    /// Mounting `/proc`.
    Proc = 8,
    /// Making `/dev`.
    Dev = 9,
    /// Mounting `/sys`.
    Sys = 10,
    /// Setting the host name.
    Hostname = 11,
    /// Bringing the loopback device up.
    Loopback = 12,
    /// Giving up privileges.
    Confine = 13,
    /// Taking on the step's user and groups.
    Identity = 14,
    /// Connecting standard input and output.
    Stdio = 15,
    /// Entering the working directory.
    WorkingDirectory = 16,
    /// Starting the command: execve(2).
    Execute = 17,
    /// Making the host view.
    HostView = 18,
    /// Reading the tree that is applied.
    ApplySource = 19,
    /// Changing the machine's folder.
    ApplyTarget = 20,
    /// Understanding the request.
    Request = 21,
    /// Waiting for the command.
    Wait = 22,
    /// Using the host view.
    HostRoot = 23,
    /// Hiding parts of `/proc` and `/sys`.
    Mask = 24,
    /// Giving a step a network of its own with a way out.
    Network = 25,
    /// Limiting what a step may use.
    Limits = 26,
    /// Trying whether the kernel mounts overlays for this user.
    OverlayTrial = 27,
    /// Copying the layers of a machine, where no overlay is mounted.
    Copy = 28,
    /// Keeping what was changed in the copy.
    Record = 29,
    /// Showing, without overlays, what layers have in a folder of the host.
    Covered = 30,
}

impl Stage {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        const ALL: [Stage; 30] = [
            Stage::Namespaces,
            Stage::Layer,
            Stage::Overlay,
            Stage::OverlayCheck,
            Stage::Attach,
            Stage::Bind,
            Stage::Pivot,
            Stage::Proc,
            Stage::Dev,
            Stage::Sys,
            Stage::Hostname,
            Stage::Loopback,
            Stage::Confine,
            Stage::Identity,
            Stage::Stdio,
            Stage::WorkingDirectory,
            Stage::Execute,
            Stage::HostView,
            Stage::ApplySource,
            Stage::ApplyTarget,
            Stage::Request,
            Stage::Wait,
            Stage::HostRoot,
            Stage::Mask,
            Stage::Network,
            Stage::Limits,
            Stage::OverlayTrial,
            Stage::Copy,
            Stage::Record,
            Stage::Covered,
        ];
        ALL.into_iter().find(|stage| *stage as u8 == byte)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaces => "enter namespaces",
            Self::Layer => "use a layer",
            Self::Overlay => "mount the overlay",
            Self::OverlayCheck => "verify the overlay's layers",
            Self::Attach => "attach a mount",
            Self::Bind => "bind a path into the machine",
            Self::Pivot => "change the root",
            Self::Proc => "mount /proc",
            Self::Dev => "make /dev",
            Self::Sys => "mount /sys",
            Self::Hostname => "set the host name",
            Self::Loopback => "bring the loopback device up",
            Self::Confine => "give up privileges",
            Self::Identity => "take on the step's user",
            Self::Stdio => "connect standard input and output",
            Self::WorkingDirectory => "enter the working directory",
            Self::Execute => "start the command",
            Self::HostView => "make the view of the host",
            Self::ApplySource => "read the tree that is applied",
            Self::ApplyTarget => "change the machine's folder",
            Self::Request => "understand the request",
            Self::Wait => "wait for the command",
            Self::HostRoot => "use the view of the host",
            Self::Mask => "hide parts of /proc and /sys",
            Self::Network => "give a step a network of its own",
            Self::Limits => "limit what a step may use",
            Self::OverlayTrial => "mount an overlay for this user",
            Self::Copy => "copy the machine's layers",
            Self::Record => "keep what the command changed",
            Self::Covered => "show what earlier steps changed in a folder of the host",
        })
    }
}

/// Why a launcher, a step or an apply failed. A command that runs and fails is no error.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The launcher process did not start.
    #[error("could not start the sandbox launcher")]
    Launch {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The launcher process ended, was closed or was killed.
    #[error("the sandbox launcher is gone")]
    LauncherGone,
    /// The launcher could not be talked to.
    #[error("could not talk to the sandbox launcher")]
    Channel {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The launcher's answer made no sense.
    #[error("the sandbox launcher sent an answer that can't be read")]
    Malformed,
    /// A request that can't be right, such as an argument with a NUL byte.
    #[error("the request to the sandbox is invalid: {reason}")]
    InvalidRequest {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The end of this step was reported before.
    #[error("the step's end was reported before")]
    AlreadyEnded,
    /// A system call of the set-up failed.
    #[error("the sandbox could not {stage}{}", PathSuffix(.path))]
    Setup {
        /// Where.
        stage: Stage,
        /// On what; empty if it is about no path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The command does not exist in the machine.
    #[error("command not found in the machine: {}", program.display())]
    CommandNotFound {
        /// As asked for.
        program: PathBuf,
    },
    /// The command is there and can't be executed: no permission, or no executable format.
    #[error("command can't be executed: {}", program.display())]
    CommandNotExecutable {
        /// As asked for.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Arguments and environment are larger than the kernel takes (execve(2), E2BIG).
    #[error("the command and its environment are too large for the kernel (one value may have at most 128 KiB)")]
    ArgumentsTooLarge {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The working directory can't be entered.
    #[error("working directory can't be entered: {}", path.display())]
    WorkingDirectory {
        /// As asked for.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A machine asks for the host's root, and the launcher was started without [`crate::HostView`].
    #[error("the host's own root can't be used as a machine's base: the launcher has no view of it")]
    HostRootUnavailable {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The file system of the store holds no layers: it keeps no overlay, nor what stands for a removed file.
    #[error("the store's file system can't hold the layers of steps")]
    StoreUnfit {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The command made a device 0:0, which stands for a removed file in layers.
    #[error("a character device 0:0 can't be kept: {}", path.display())]
    ForbiddenDevice {
        /// In the machine.
        path: PathBuf,
    },
    /// The user or group can't be taken on or be given files: without root on the host those of [`crate::IdMap`] exist.
    #[error(
        "user {uid} or group {gid} does not exist in machines here: they have subordinate ids only (see `hm doctor`)"
    )]
    Identity {
        /// As asked for.
        uid: u32,
        /// As asked for.
        gid: u32,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    /// What helps, to be pasted, where that is known.
    pub fn fix(&self) -> Option<&'static str> {
        if let Self::StoreUnfit { .. } = self {
            return Some("HM_STORE__DIR=FOLDER hm run   # one on ext4, xfs, btrfs or tmpfs");
        }
        if self.is_of_uplink() {
            return Some(
                "HM_SANDBOX__NETWORK=host hm run   # steps share this machine's network; or install another slirp4netns",
            );
        }
        if let Self::CommandNotExecutable { source, .. } = self {
            return Some(if source.kind() == io::ErrorKind::PermissionDenied {
                "make it executable in the image: chmod 755"
            } else {
                "use an image for this machine's kind of processor (uname -m)"
            });
        }
        if let Self::Launch { source } | Self::Setup { source, .. } = self
            && source.kind() == io::ErrorKind::WouldBlock
        {
            return Some("raise the limit of processes: ulimit -u unlimited");
        }
        let is_covered = matches!(
            self,
            Self::Setup {
                stage: Stage::Covered,
                ..
            }
        );
        is_covered.then_some("hm run --no-cache")
    }

    fn is_of_uplink(&self) -> bool {
        matches!(self, Self::Setup { stage: Stage::Network, path, .. } if path.as_os_str().as_encoded_bytes().starts_with(b"slirp4netns"))
    }

    /// The exit code that a shell would give for an error that is the command's own: 127 for a command that isn't
    /// there, 126 for one that can't be run. `None` for everything that is not the step's fault.
    pub fn step_exit_code(&self) -> Option<i32> {
        match self {
            Self::CommandNotFound { .. } => Some(127),
            Self::CommandNotExecutable { .. } | Self::ArgumentsTooLarge { .. } | Self::WorkingDirectory { .. } => {
                Some(126)
            }
            Self::Launch { .. }
            | Self::LauncherGone
            | Self::Channel { .. }
            | Self::Malformed
            | Self::InvalidRequest { .. }
            | Self::AlreadyEnded
            | Self::Setup { .. }
            | Self::HostRootUnavailable { .. }
            | Self::StoreUnfit { .. }
            | Self::ForbiddenDevice { .. }
            | Self::Identity { .. } => None,
        }
    }
}

struct PathSuffix<'a>(&'a PathBuf);

impl fmt::Display for PathSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_os_str().is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0.display())
        }
    }
}

/// An error on the far side of the channel, in a form that can be sent.
#[derive(Debug, Clone)]
pub(crate) struct SetupError {
    pub(crate) stage: Stage,
    pub(crate) errno: rustix::io::Errno,
    pub(crate) path: PathBuf,
}

impl SetupError {
    pub(crate) fn new(stage: Stage, errno: rustix::io::Errno, path: impl Into<PathBuf>) -> Self {
        Self {
            stage,
            errno,
            path: path.into(),
        }
    }
}

/// `result.map_err(at(stage, path))`
pub(crate) fn at<P: Into<PathBuf>>(stage: Stage, path: P) -> impl FnOnce(rustix::io::Errno) -> SetupError {
    move |errno| SetupError::new(stage, errno, path)
}
