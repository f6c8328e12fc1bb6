//! What a caller asks of the sandbox and what it gets back.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// How a launcher is set up, once in its life.
#[derive(Debug, Clone, Default)]
pub struct LauncherSettings {
    /// The view of the host's own root for machines with [`RootFs::host_root`]; `None`: such machines are refused.
    pub host_view: Option<HostView>,
    /// Mount overlays with mount(2) instead of fsopen(2), as is done by itself on kernels before 6.8.
    /// The option string ends at one page, so deep stacks are refused.
    pub classic_mount: bool,
    /// When the roots of machines are overlays.
    pub overlays: Overlays,
    /// The program that connects [`Network::Isolated`]: slirp4netns(1), by its absolute path. It is
    /// started when the first such step comes. `None`: such steps are refused.
    pub slirp4netns: Option<PathBuf>,
    /// How many files a command may have open before it raises the limit itself (`RLIMIT_NOFILE`, its soft limit); `None`: as
    /// many as the caller. It is no more than the caller's hard limit.
    pub open_files: Option<u64>,
}

/// When the roots of machines are overlays. Else they are copies of their layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Overlays {
    /// Always: a machine fails where the kernel mounts none.
    #[default]
    Always,
    /// Where the kernel mounts them. Where the file system can't hold layers either, the launcher does not start.
    WherePossible {
        /// A folder of the caller's that does not exist, on the file system of the machines' upper folders. It is made to try,
        /// and removed.
        trial: PathBuf,
    },
    /// Never.
    Never,
}

/// What the roots of machines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// Overlays of their layers, mounted by the kernel.
    Overlays,
    /// Copies of their layers: each command costs what its image holds.
    Copies {
        /// What the kernel said to an overlay (errno(3)); `None`: it was not asked.
        refused: Option<i32>,
    },
}

/// What a launcher found it can do on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about the host that have nothing to do with each other"
)]
pub struct Confinement {
    /// Which users exist in machines.
    pub ids: IdMap,
    /// Steps in the host's network can't reach abstract sockets of others (Landlock, Linux 6.12).
    pub scopes_abstract_sockets: bool,
    /// Steps have a session keyring of their own. `false`: the kernel has no keyrings, or the caller's quota is used up.
    pub own_keyring: bool,
    /// Machines with [`RootFs::host_root`] work.
    pub host_view: bool,
    /// What the roots of machines are.
    pub roots: Roots,
    /// Machines may have hundreds of layers (Linux 6.8). `false`: as many as one page of their names has room for.
    pub many_layers: bool,
    /// What enforces [`SpawnRequest::limits`].
    pub limits: LimitMeans,
}

/// What a step may use at most. Nothing is limited where a member is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Processors, possibly a fraction; positive.
    pub cpus: Option<f64>,
    /// Memory of all processes together, with what the page cache holds for them, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at the same time.
    pub pids: Option<u64>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What enforces each limit on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitMeans {
    /// Of [`Limits::cpus`].
    pub cpus: LimitedBy,
    /// Of [`Limits::memory_bytes`].
    pub memory: LimitedBy,
    /// Of [`Limits::pids`].
    pub pids: LimitedBy,
}

/// What enforces a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LimitedBy {
    /// A control group of version 2, for the step as a whole.
    ControlGroup2 = 0,
    /// A control group of version 1, for the step as a whole.
    ControlGroup1 = 1,
    /// Something weaker (getrlimit(2), `sched_setaffinity(2)`): the private memory of each process, the number of
    /// processes of all steps of a launcher and a user together, whole processors.
    Process = 2,
    /// Nothing: the limit is not enforced.
    Nothing = 3,
}

/// The users of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdMap {
    /// The launcher has root on the host, and users are those of the host.
    Host,
    /// The launcher is an ordinary user's; 0 is that user, and others are subordinate ids.
    Subordinate {
        /// Users and groups from 1 to this number exist.
        count: u32,
    },
    /// The launcher is an ordinary user's, and only user and group 0 exist.
    Single(SingleId),
}

/// Why only one user exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingleId {
    /// [`crate::take_subordinate_ids`] was not called.
    Chosen,
    /// `/etc/subuid` or `/etc/subgid` has no range for the caller.
    NoRange,
    /// newuidmap(1) or newgidmap(1) is not installed.
    NoTool,
    /// newuidmap(1) or newgidmap(1) refused, as without their set-user-id bit, or the kernel refused the namespace.
    Refused,
}

impl std::fmt::Display for SingleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Chosen => "subordinate ids were not asked for",
            Self::NoRange => "/etc/subuid or /etc/subgid has no range of ids for this user",
            Self::NoTool => "newuidmap or newgidmap is not installed (package uidmap)",
            Self::Refused => "newuidmap or newgidmap refused to map the ids",
        })
    }
}

/// A read-only look at the host's root with everything private hidden.
#[derive(Debug, Clone)]
pub struct HostView {
    /// A folder of the caller's, made if it is missing, that holds the view's skeleton and its mount point.
    /// The caller removes it after the launcher is closed.
    pub dir: PathBuf,
    /// Absolute paths that steps must not see, in addition to the built-in ones (homes, `/run`, `/tmp`, password
    /// hashes, host keys and the like). One that does not exist is fine.
    pub hidden: Vec<PathBuf>,
    /// The caller's home, which steps must not see either. One that holds the host's software, such as `/`, stays.
    pub home: Option<PathBuf>,
    /// Absolute folders that steps see read-only at the same place, even where they lie under a hidden one.
    pub expose: Vec<PathBuf>,
}

/// The overlay that is a machine's root.
#[derive(Debug, Clone)]
pub struct RootFs {
    /// Lower layers, top first; relative ones are taken from `lower_base`.
    pub lower: Vec<PathBuf>,
    /// The folder that relative lower layers are found under. Short relative names keep mount options short.
    pub lower_base: PathBuf,
    /// Put the host view under the lowest layer.
    pub host_root: bool,
    /// The writable folder. Its own mode and owner become those of `/` in the machine. Where roots are copies it is another
    /// folder of the same name after each command.
    pub upper: PathBuf,
    /// The overlay's work folder, on the same file system as `upper`. What an earlier `volatile` mount left in it
    /// is cleared before it is used. Where roots are copies, the copy lies in it.
    pub work: PathBuf,
    /// An empty folder to mount on. Nothing is mounted there outside of the step.
    pub merged: PathBuf,
}

/// A bind mount into the machine.
#[derive(Debug, Clone)]
pub struct Bind {
    /// A file or folder of the host; folders come with what is mounted under them.
    pub source: PathBuf,
    /// Absolute path in the machine. A missing one is made (and so becomes part of the upper folder).
    pub target: PathBuf,
    /// Writes through the bind fail.
    pub read_only: bool,
}

/// What a step sees of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The host's network namespace.
    Host,
    /// A namespace of its own with a way out through slirp4netns(1). What listens on the host's loopback is out of reach, and
    /// nothing outside reaches in. Takes [`LauncherSettings::slirp4netns`].
    Isolated,
    /// A namespace of its own with nothing but a loopback device, which is up.
    None,
}

/// One command to run in a machine of its own.
#[derive(Debug)]
pub struct SpawnRequest {
    /// The root file system.
    pub rootfs: RootFs,
    /// The command. `argv[0]` without a slash is looked for in the `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// The whole environment; nothing is added.
    pub env: Vec<(OsString, OsString)>,
    /// Absolute path in the machine.
    pub cwd: PathBuf,
    /// User id inside the machine. Without root on the host only those of [`Confinement::ids`] exist.
    pub uid: u32,
    /// Group id inside the machine. Without root on the host only those of [`Confinement::ids`] exist.
    pub gid: u32,
    /// Supplementary groups. With [`IdMap::Single`] they can't be set and are left out.
    pub groups: Vec<u32>,
    /// The machine's host name, at most 64 bytes.
    pub hostname: String,
    /// The network.
    pub network: Network,
    /// Where standard output goes.
    pub stdout: OwnedFd,
    /// Where standard error goes.
    pub stderr: OwnedFd,
    /// Standard input; `None` is `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Bind mounts, made in this order.
    pub binds: Vec<Bind>,
    /// What the command and all that it starts may use.
    pub limits: Limits,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited by itself with this code (0–255).
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// The exit code as a shell shows it: 128 + n for signal n.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

/// What a step used, over all its processes: what its control groups counted if [`SpawnRequest::limits`] made some, else
/// what wait4(2) tells of its first process and all that were waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// The most memory in bytes: where a control group counts it, all that was charged to the step at once, with what the
    /// page cache held for it; else the greatest resident set of any one process.
    pub max_rss_bytes: u64,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub write_bytes: u64,
}

/// The end of a step: nothing of its namespaces is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitReport {
    /// How the command ended. [`ExitStatus::Signal`] with 9 after [`crate::Running::kill`].
    pub status: ExitStatus,
    /// What it used.
    pub usage: Usage,
    /// The kernel killed a process of the step because [`Limits::memory_bytes`] was reached.
    pub out_of_memory: bool,
    /// A process or thread of the step could not be made because [`Limits::pids`] was reached.
    pub out_of_pids: bool,
}

/// What was known of an entry when the tree that is replaced was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Bytes, of files only.
    pub size: u64,
    /// Permission bits (`0o7777`).
    pub mode: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// One difference between two trees. Paths are relative to the target folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyOp {
    /// The entry is in the old tree only.
    Remove {
        /// Which.
        path: PathBuf,
        /// It was a folder: it goes only if nothing of a step's is left in it.
        dir: bool,
        /// How a file was; `None`: not compared (folders, symbolic links).
        expected: Option<Expected>,
    },
    /// The entry is new or differs: it is taken from the source tree.
    Put {
        /// Which. Its parents come first in the list, or exist.
        path: PathBuf,
        /// Whether the old tree has an entry here.
        replaces: bool,
        /// How an old file was; `None`: not compared.
        expected: Option<Expected>,
    },
}

impl ApplyOp {
    /// The path the difference is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Remove { path, .. } | Self::Put { path, .. } => path,
        }
    }
}

/// Who owns what is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id inside the machine.
    pub uid: u32,
    /// Group id inside the machine.
    pub gid: u32,
}

/// Brings a folder of a machine from one tree to another.
#[derive(Debug, Clone)]
pub struct ApplyRequest {
    /// The machine's root file system. No step may be running on it.
    pub rootfs: RootFs,
    /// Absolute path in the machine, such as `/workspace`. Made if it is missing.
    pub target: PathBuf,
    /// The folder on the host with the new tree's entries.
    pub source: PathBuf,
    /// Who owns new entries.
    pub owner: Owner,
    /// The differences. Removals are done first, whatever their place in the list.
    pub ops: Vec<ApplyOp>,
}

/// What came of an [`ApplyRequest`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyReport {
    /// Paths, relative to the target, that a step had changed as well. The new tree's version is there, except
    /// where a step had put a folder in place of a removed file or the other way round: that stays.
    pub conflicts: Vec<PathBuf>,
}
