//! What groups counted.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::controller::{Controller, Version};
use super::files::read_file;
use crate::request::Usage;

/// What the groups of a step counted; `None` where none of them does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The kernel killed a process because the memory limit was reached.
    pub(crate) out_of_memory: bool,
    /// A process or thread could not be made because of the limit of their number.
    pub(crate) out_of_pids: bool,
    cpu: Option<Duration>,
    peak_bytes: Option<u64>,
    /// Read and written.
    io_bytes: Option<(u64, u64)>,
}

impl Counted {
    /// Adds what a group with these controllers says.
    pub(super) fn read(&mut self, group: BorrowedFd<'_>, version: Version, controllers: &[Controller]) {
        if controllers.contains(&Controller::Memory) {
            self.read_memory(group, version);
        }
        if controllers.contains(&Controller::Pids) {
            let events = read_file(group, "pids.events").unwrap_or_default();
            self.out_of_pids = value(&events, "max").is_some_and(|refusals| refusals > 0);
        }
        match version {
            Version::One if controllers.contains(&Controller::Cpuacct) => {
                self.cpu = number(group, "cpuacct.usage").map(Duration::from_nanos);
            }
            Version::One => {}
            Version::Two => {
                let stat = read_file(group, "cpu.stat").unwrap_or_default();
                self.cpu = value(&stat, "usage_usec").map(Duration::from_micros);
                self.io_bytes = read_file(group, "io.stat").ok().map(|stat| io_bytes(&stat));
            }
        }
    }

    fn read_memory(&mut self, group: BorrowedFd<'_>, version: Version) {
        let (events, peak) = match version {
            Version::One => ("memory.oom_control", "memory.max_usage_in_bytes"),
            // The peak is there since Linux 5.19.
            Version::Two => ("memory.events", "memory.peak"),
        };
        let events = read_file(group, events).unwrap_or_default();
        self.out_of_memory = value(&events, "oom_kill").is_some_and(|kills| kills > 0);
        self.peak_bytes = number(group, peak);
    }

    /// These figures, and those of `usage` where there are none.
    pub(crate) fn over(self, usage: Usage) -> Usage {
        let (read_bytes, write_bytes) = self.io_bytes.unwrap_or((usage.read_bytes, usage.write_bytes));
        Usage {
            cpu: self.cpu.unwrap_or(usage.cpu),
            max_rss_bytes: self.peak_bytes.unwrap_or(usage.max_rss_bytes),
            read_bytes,
            write_bytes,
        }
    }
}

fn number(group: BorrowedFd<'_>, file: &str) -> Option<u64> {
    read_file(group, file).ok()?.trim().parse().ok()
}

/// The value of a key in a file of lines `KEY VALUE`.
fn value(text: &str, key: &str) -> Option<u64> {
    let of_key = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(of_key)
}

/// The sums over all devices of a file of lines `MAJOR:MINOR KEY=VALUE …`.
fn io_bytes(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let values = text.split_whitespace().filter_map(|word| word.strip_prefix(key));
        values.filter_map(|value| value.parse::<u64>().ok()).sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    fn counted(version: Version, files: &[(&str, &str)]) -> Counted {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let opened = fs::File::open(folder.path()).unwrap();
        let mut counted = Counted::default();
        counted.read(opened.as_fd(), version, &Controller::all(version));
        counted
    }

    #[test]
    fn kills_are_told_from_other_events() {
        let two = |text| counted(Version::Two, &[("memory.events", text)]).out_of_memory;
        assert!(!two("low 0\nhigh 0\nmax 9\noom 2\noom_kill 0\noom_group_kill 0\n"));
        assert!(two("low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 0\n"));
        let one = |text| counted(Version::One, &[("memory.oom_control", text)]).out_of_memory;
        assert!(!one("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"));
        assert!(one("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"));
    }

    #[test]
    fn refused_processes_are_told() {
        for version in [Version::One, Version::Two] {
            assert!(!counted(version, &[("pids.events", "max 0\n")]).out_of_pids);
            assert!(counted(version, &[("pids.events", "max 3\n")]).out_of_pids);
        }
    }

    #[test]
    fn usage_is_read_in_the_words_of_each_version() {
        let of_process = Usage {
            cpu: Duration::from_secs(9),
            max_rss_bytes: 9,
            read_bytes: 9,
            write_bytes: 9,
        };
        let two = counted(
            Version::Two,
            &[
                (
                    "cpu.stat",
                    "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 0\n",
                ),
                ("memory.peak", "4096\n"),
                (
                    "io.stat",
                    "254:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=7 dios=0\n7:1 rbytes=10 wbytes=1 rios=1 wios=1\n8:0 \n",
                ),
            ],
        );
        let read = Usage {
            cpu: Duration::from_micros(1500),
            max_rss_bytes: 4096,
            read_bytes: 4106,
            write_bytes: 513,
        };
        assert_eq!(two.over(of_process), read);
        let one = counted(
            Version::One,
            &[("cpuacct.usage", "2000\n"), ("memory.max_usage_in_bytes", "8192\n")],
        );
        let read = Usage {
            cpu: Duration::from_micros(2),
            max_rss_bytes: 8192,
            ..of_process
        };
        assert_eq!(one.over(of_process), read);
    }

    #[test]
    fn what_no_group_counts_is_what_the_process_used() {
        let usage = Usage {
            cpu: Duration::from_secs(1),
            max_rss_bytes: 2,
            read_bytes: 3,
            write_bytes: 4,
        };
        for version in [Version::One, Version::Two] {
            assert_eq!(counted(version, &[]).over(usage), usage);
        }
    }
}
