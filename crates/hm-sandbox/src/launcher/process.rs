//! The launcher's entry.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::host_view::MountedView;
use super::serve;
use crate::error::{SetupError, Stage};
use crate::limits::Places;
use crate::protocol::Channel;
use crate::request::{Confinement, IdMap, RootFs, Roots};
use crate::seccomp::Filter;
use crate::sys::{self, SingleThread};

/// The zeroth argument that makes a program a launcher.
pub(crate) const MARKER: &str = "hm-sandbox-launcher";

/// What the launcher knows and its children read.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about the host that have nothing to do with each other"
)]
pub(crate) struct Context {
    pub(crate) single_thread: SingleThread,
    /// A pidfd of the launcher, by which a child sees that it died.
    pub(crate) launcher: OwnedFd,
    /// The launcher has no root rights on the host and lives in a user namespace.
    pub(crate) rootless: bool,
    pub(crate) ids: IdMap,
    /// The session keyring is no one else's.
    pub(crate) own_keyring: bool,
    pub(crate) filter: Filter,
    /// Steps in the host's network can be kept from its abstract sockets.
    pub(crate) scopes_sockets: bool,
    /// Device nodes can be made and used.
    pub(crate) device_nodes: bool,
    /// Mount overlays with mount(2) only.
    pub(crate) classic_mount: bool,
    /// What roots of machines are.
    pub(crate) roots: Roots,
    pub(crate) host_view: Option<MountedView>,
    /// Where control groups can be made.
    pub(crate) places: Places,
    /// Connects steps that have a network of their own.
    pub(crate) slirp4netns: Option<PathBuf>,
    /// The soft limit of open files of commands.
    pub(crate) open_files: Option<u64>,
}

impl Context {
    pub(super) fn confinement(&self) -> Confinement {
        Confinement {
            ids: self.ids,
            scopes_abstract_sockets: self.scopes_sockets,
            own_keyring: self.own_keyring,
            host_view: self.host_view.is_some(),
            roots: self.roots,
            many_layers: !self.classic_mount || self.copies_roots(),
            limits: self.places.means(self.rootless),
        }
    }

    /// The layers of a machine, top first.
    pub(crate) fn layers(&self, rootfs: &RootFs) -> Result<Vec<PathBuf>, SetupError> {
        let mut layers: Vec<PathBuf> = rootfs.lower.iter().map(|layer| rootfs.lower_base.join(layer)).collect();
        if rootfs.host_root {
            let missing = || SetupError::new(Stage::HostRoot, Errno::OPNOTSUPP, "");
            layers.extend_from_slice(&self.host_view.as_ref().ok_or_else(missing)?.roots);
        }
        Ok(layers)
    }

    /// Whether roots are copies, not overlays.
    pub(crate) fn copies_roots(&self) -> bool {
        self.roots != Roots::Overlays
    }

    /// Whether users and groups other than 0 exist.
    pub(crate) fn has_other_ids(&self) -> bool {
        !matches!(self.ids, IdMap::Single(_))
    }
}

/// Turns this process into a launcher if [`crate::Launcher::start`] started it, and does not return then. It must be
/// called first in `main`, before any thread is made.
pub fn run_launcher_if_requested() {
    if std::env::args_os().next().is_some_and(|name| name == MARKER) {
        let code = match run() {
            Ok(()) => 0,
            Err(_errno) => 1,
        };
        sys::exit_now(code);
    }
}

fn run() -> Result<(), Errno> {
    // A service manager or a terminal that signals all processes leaves it to the owner of the launcher to end the
    // steps in order; the launcher ends when the owner closes the channel or dies.
    sys::block_all_signals();
    sys::reset_dispositions();
    // Whatever the owner forgot to mark close-on-exec.
    sys::close_all_except(&[0, 1, 2])?;
    let channel = take_channel()?;
    // Fails if it leads a session already, which is as good.
    let _leads_already = rustix::process::setsid();
    serve::serve(&channel)
}

/// The channel comes as standard input, which becomes `/dev/null`.
fn take_channel() -> Result<Channel, Errno> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(Channel::new(socket))
}
