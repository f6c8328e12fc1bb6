//! Controllers of control groups, and how each is told a limit.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::files::write_file;
use crate::request::Limits;

/// A part of the kernel that limits or counts what the processes of a group use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Memory,
    Pids,
    /// Counts processor time; version 2 does so without it.
    Cpuacct,
    /// Counts bytes of block devices. Version 1's (`blkio`) is of no use: it leaves out what is written back later.
    Io,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Controller {
    /// Those that a version has.
    pub(super) const fn all(version: Version) -> [Self; 4] {
        match version {
            Version::One => [Self::Cpu, Self::Memory, Self::Pids, Self::Cpuacct],
            Version::Two => [Self::Cpu, Self::Memory, Self::Pids, Self::Io],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpuacct => "cpuacct",
            Self::Io => "io",
        }
    }

    /// Whether it enforces something that a step can be limited in.
    pub(super) fn limits(self) -> bool {
        matches!(self, Self::Cpu | Self::Memory | Self::Pids)
    }

    /// Whether it counts something that is told of a step.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Memory | Self::Cpuacct | Self::Io)
    }

    /// Whether systemd gives it to all units, so that it does not go with the last one that asks for it.
    pub(super) fn stays_given(self) -> bool {
        matches!(self, Self::Memory | Self::Pids)
    }

    /// Whether it is needed for these limits.
    pub(super) fn is_asked(self, limits: &Limits) -> bool {
        match self {
            Self::Cpu => limits.cpus.is_some(),
            Self::Memory => limits.memory_bytes.is_some(),
            Self::Pids => limits.pids.is_some(),
            Self::Cpuacct | Self::Io => false,
        }
    }

    /// Tells a group its limit, if there is one.
    pub(super) fn set(self, group: BorrowedFd<'_>, version: Version, limits: &Limits) -> Result<(), Errno> {
        let Limits {
            cpus,
            memory_bytes,
            pids,
        } = *limits;
        match self {
            Self::Cpu => cpus.map_or(Ok(()), |cpus| set_cpus(group, version, cpus)),
            Self::Memory => memory_bytes.map_or(Ok(()), |bytes| set_memory(group, version, bytes)),
            Self::Pids => pids.map_or(Ok(()), |pids| set_pids(group, pids)),
            Self::Cpuacct | Self::Io => Ok(()),
        }
    }
}

/// Length of the time slice of which a group gets a part, in microseconds: the kernel's own default.
const PERIOD: f64 = 100_000.0;
/// The least part that the kernel takes (kernel: Documentation/scheduler/sched-bwc.rst).
const LEAST_QUOTA: f64 = 1000.0;

fn set_cpus(group: BorrowedFd<'_>, version: Version, cpus: f64) -> Result<(), Errno> {
    let quota = (cpus * PERIOD).max(LEAST_QUOTA);
    let written = match version {
        Version::One => write_file(group, "cpu.cfs_period_us", &format!("{PERIOD:.0}"))
            .and_then(|()| write_file(group, "cpu.cfs_quota_us", &format!("{quota:.0}"))),
        Version::Two => write_file(group, "cpu.max", &format!("{quota:.0} {PERIOD:.0}")),
    };
    match written {
        // More than the group above has, which holds then, or more than there can be.
        Err(Errno::INVAL | Errno::RANGE) => Ok(()),
        written => written,
    }
}

fn set_memory(group: BorrowedFd<'_>, version: Version, bytes: u64) -> Result<(), Errno> {
    let bytes = bytes.to_string();
    let (memory, swap, most_swap) = match version {
        Version::One => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes.as_str()),
        Version::Two => ("memory.max", "memory.swap.max", "0"),
    };
    write_file(group, memory, &bytes)?;
    // A kernel that does not count swap has no such file.
    match write_file(group, swap, most_swap) {
        Err(Errno::NOENT | Errno::OPNOTSUPP) => Ok(()),
        written => written,
    }
}

/// The kernel has no more processes than this (`PID_MAX_LIMIT`), and takes no greater limit.
const MOST_PIDS: u64 = 1 << 22;

fn set_pids(group: BorrowedFd<'_>, pids: u64) -> Result<(), Errno> {
    let most = if pids > MOST_PIDS {
        "max".to_owned()
    } else {
        pids.to_string()
    };
    write_file(group, "pids.max", &most)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    const LIMITS: Limits = Limits {
        cpus: Some(1.5),
        memory_bytes: Some(1 << 20),
        pids: Some(7),
    };

    fn written(version: Version, limits: &Limits, files: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let opened = fs::File::open(folder.path()).unwrap();
        for controller in Controller::all(version) {
            controller.set(opened.as_fd(), version, limits).unwrap();
        }
        let read = |file: &&str| fs::read_to_string(folder.path().join(file)).unwrap();
        files.iter().map(read).collect()
    }

    #[test]
    fn limits_are_written_in_the_words_of_each_version() {
        let two = ["cpu.max", "memory.max", "memory.swap.max", "pids.max"];
        assert_eq!(
            written(Version::Two, &LIMITS, &two),
            ["150000 100000", "1048576", "0", "7"]
        );
        let one = [
            "cpu.cfs_quota_us",
            "cpu.cfs_period_us",
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "pids.max",
        ];
        assert_eq!(
            written(Version::One, &LIMITS, &one),
            ["150000", "100000", "1048576", "1048576", "7"]
        );
    }

    #[test]
    fn what_is_not_limited_is_not_written_and_swap_need_not_be_counted() {
        assert_eq!(written(Version::Two, &Limits::default(), &["memory.max"]), [""]);
        let memory = Limits {
            memory_bytes: Some(4096),
            ..Limits::default()
        };
        assert_eq!(written(Version::One, &memory, &["memory.limit_in_bytes"]), ["4096"]);
        for (pids, most) in [(MOST_PIDS, "4194304"), (u64::MAX, "max")] {
            let many = Limits {
                pids: Some(pids),
                ..Limits::default()
            };
            assert_eq!(written(Version::One, &many, &["pids.max"]), [most]);
        }
        let little = Limits {
            cpus: Some(0.001),
            ..Limits::default()
        };
        assert_eq!(written(Version::Two, &little, &["cpu.max"]), ["1000 100000"]);
    }
}
