//! `/proc`, `/dev` and `/sys` of a machine. The working root is the machine's.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use super::root::clone_tree;
use crate::error::{SetupError, Stage, at};
use crate::overlay::attach;

/// Name, major and minor number (kernel: Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Where device nodes come from.
pub(super) enum Nodes {
    /// They are made, which takes root on the host.
    Make,
    /// The host's are bound.
    Bind(Vec<(&'static str, OwnedFd)>),
}

/// Where `/sys` comes from.
pub(super) enum Sysfs {
    /// A new mount.
    Mount,
    /// The host's.
    Bind(OwnedFd),
}

/// The host's device nodes; called while the root is still the host's.
pub(super) fn host_nodes() -> Result<Nodes, SetupError> {
    let open = |(name, _, _): (&'static str, u32, u32)| {
        let path = Path::new("/dev").join(name);
        clone_tree(&path, false, false)
            .map(|node| (name, node))
            .map_err(at(Stage::Dev, path))
    };
    DEVICES.into_iter().map(open).collect::<Result<_, _>>().map(Nodes::Bind)
}

pub(super) fn mount_proc() -> Result<(), SetupError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_on_folder("/proc", || mount("proc", "/proc", "proc", flags, None)).map_err(at(Stage::Proc, "/proc"))
}

/// Parts of `/proc` by which root could change the host's kernel without any capability.
const PROTECTED: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Files that tell about the host's kernel or its other users; hidden by `/dev/null`, as Docker does.
const MASKED_FILES: [&str; 8] = [
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// Folders of the same kind; hidden by an empty one.
const MASKED_FOLDERS: [&str; 6] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    // Where `/sys` is the host's, its control groups are mounted there.
    "/sys/fs/cgroup",
];

pub(super) fn protect_proc() -> Result<(), SetupError> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for path in PROTECTED {
        match mount_bind(path, path) {
            Ok(()) => mount_remount(path, flags, "").map_err(at(Stage::Proc, path))?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(SetupError::new(Stage::Proc, errno, path)),
        }
    }
    Ok(())
}

/// Hides parts of `/proc` and `/sys`. `/dev` has to be there.
pub(super) fn mask() -> Result<(), SetupError> {
    for path in MASKED_FILES {
        match mount_bind("/dev/null", path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(SetupError::new(Stage::Mask, errno, path)),
        }
    }
    // One empty file system for all of them.
    let mut empty: Option<&str> = None;
    for path in MASKED_FOLDERS {
        let result = match empty {
            None => {
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                mount("tmpfs", path, "tmpfs", flags, c"mode=755,nr_inodes=1")
            }
            Some(empty) => mount_bind(empty, path),
        };
        match result {
            Ok(()) => empty = Some(path),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(SetupError::new(Stage::Mask, errno, path)),
        }
    }
    Ok(())
}

pub(super) fn make_dev(nodes: &Nodes, has_other_ids: bool) -> Result<(), SetupError> {
    let failed = |path: &str| at(Stage::Dev, PathBuf::from(path));
    let flags = MountFlags::NOSUID;
    mount_on_folder("/dev", || mount("tmpfs", "/dev", "tmpfs", flags, c"mode=755")).map_err(failed("/dev"))?;
    match nodes {
        Nodes::Make => make_nodes()?,
        Nodes::Bind(nodes) => bind_nodes(nodes)?,
    }
    for (target, link) in LINKS {
        rustix::fs::symlink(target, link).map_err(failed(link))?;
    }
    rustix::fs::mkdir("/dev/shm", Mode::from_raw_mode(0o1777)).map_err(failed("/dev/shm"))?;
    rustix::fs::mkdir("/dev/pts", Mode::from_raw_mode(0o755)).map_err(failed("/dev/pts"))?;
    // Group 5 is `tty` everywhere; in a user namespace with a single id it does not exist.
    let options = if has_other_ids {
        c"newinstance,ptmxmode=0666,mode=0620,gid=5"
    } else {
        c"newinstance,ptmxmode=0666,mode=0620"
    };
    mount(
        "devpts",
        "/dev/pts",
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        options,
    )
    .map_err(failed("/dev/pts"))
}

fn make_nodes() -> Result<(), SetupError> {
    for (name, major, minor) in DEVICES {
        let path = Path::new("/dev").join(name);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, mode, makedev(major, minor))
            .map_err(at(Stage::Dev, path))?;
    }
    Ok(())
}

fn bind_nodes(nodes: &[(&'static str, OwnedFd)]) -> Result<(), SetupError> {
    for (name, node) in nodes {
        let path = Path::new("/dev").join(name);
        rustix::fs::mknodat(CWD, &path, FileType::RegularFile, Mode::from_raw_mode(0o666), 0)
            .map_err(at(Stage::Dev, &path))?;
        attach(node, &path)?;
    }
    Ok(())
}

pub(super) fn mount_sys(sysfs: Sysfs) -> Result<(), SetupError> {
    match sysfs {
        Sysfs::Mount => {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
            match mount_on_folder("/sys", || mount("sysfs", "/sys", "sysfs", flags, None)) {
                // A user namespace whose own view of sysfs is covered in part, as in a container, may not mount
                // another. Few programs look at it: it stays empty.
                Err(Errno::PERM) => Ok(()),
                result => result.map_err(at(Stage::Sys, "/sys")),
            }
        }
        Sysfs::Bind(tree) => match attach(&tree, Path::new("/sys")) {
            Err(SetupError {
                errno: Errno::NOENT, ..
            }) => {
                make_mount_point("/sys").map_err(at(Stage::Sys, "/sys"))?;
                attach(&tree, Path::new("/sys"))
            }
            result => result,
        },
    }
}

/// Mounts, and makes the folder for it if the image has none.
fn mount_on_folder(folder: &str, mount: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    match mount() {
        Err(Errno::NOENT) => {
            make_mount_point(folder)?;
            mount()
        }
        result => result,
    }
}

fn make_mount_point(folder: &str) -> Result<(), Errno> {
    rustix::fs::mkdir(folder, Mode::from_raw_mode(0o755))
}
