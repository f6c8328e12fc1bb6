//! Where this process may make control groups.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::controller::{Controller, Version};
use super::files::{has_word, read_file, write_file};
use super::hierarchies::{Hierarchy, hierarchies};
use super::lease;
use super::systemd::{is_delegated, is_managed};
use crate::request::{LimitMeans, LimitedBy, Limits};

/// Where the processes of a group go that can't have other groups below it while it has processes.
const CALLERS: &str = "hm-callers";
/// They may start others while they are moved.
const ATTEMPTS: usize = 100;

/// The places of this process. Held by descriptors, so that they stay in reach whatever is unmounted.
#[derive(Debug, Default)]
pub(crate) struct Places {
    all: Vec<Place>,
}

/// A control group in which this process may make others.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) version: Version,
    /// What groups in it have or can have.
    pub(super) controllers: Vec<Controller>,
    pub(super) folder: Rc<OwnedFd>,
    /// It has processes, which have to go before it can give controllers.
    crowded: bool,
    /// The processes that the groups between this process's own and the place let it have, which do not hold steps.
    pub(super) most_pids: Option<u64>,
}

impl Places {
    /// Looks for them, and changes nothing.
    pub(crate) fn find() -> Self {
        let text = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name)).unwrap_or_default();
        let found = hierarchies(&text("mountinfo"), &text("cgroup"));
        Self {
            all: found.into_iter().filter_map(Place::of).collect(),
        }
    }

    /// What enforces limits here on steps of an ordinary user, or of root.
    pub(crate) fn means(&self, rootless: bool) -> LimitMeans {
        let by = |controller, otherwise| {
            let place = self.all.iter().find(|place| place.controllers.contains(&controller));
            match place.map(|place| place.version) {
                Some(Version::One) => LimitedBy::ControlGroup1,
                Some(Version::Two) => LimitedBy::ControlGroup2,
                None => otherwise,
            }
        };
        LimitMeans {
            cpus: by(Controller::Cpu, LimitedBy::Process),
            memory: by(Controller::Memory, LimitedBy::Process),
            pids: if rootless {
                by(Controller::Pids, LimitedBy::Process)
            } else {
                // RLIMIT_NPROC does not bind root.
                by(Controller::Pids, LimitedBy::Nothing)
            },
        }
    }

    /// Those where a step with these limits needs a group.
    pub(super) fn needed(&self, limits: &Limits) -> Vec<&Place> {
        if limits.is_empty() {
            return Vec::new();
        }
        let is_needed = |one: &Controller| one.is_asked(limits) || one.counts();
        let needed = self.all.iter().filter(|place| place.controllers.iter().any(is_needed));
        needed.collect()
    }

    /// Removes what launchers left that are gone.
    pub(crate) fn sweep(&self) {
        for place in &self.all {
            lease::sweep(place.folder());
        }
    }
}

impl Place {
    fn of(hierarchy: Hierarchy) -> Option<Self> {
        match hierarchy.version {
            Version::One => Self::one(hierarchy),
            Version::Two => Self::two(&hierarchy.top, &hierarchy.own),
        }
    }

    /// Groups of version 1 may have both processes and groups.
    fn one(hierarchy: Hierarchy) -> Option<Self> {
        let folder = open_writable(&hierarchy.own).ok()?;
        let mut controllers = hierarchy.controllers;
        // A kernel may have the controller without this part of it.
        let has_quota = rustix::fs::accessat(&folder, "cpu.cfs_quota_us", Access::EXISTS, AtFlags::empty()).is_ok();
        controllers.retain(|one| *one != Controller::Cpu || has_quota);
        (!controllers.is_empty()).then_some(Self {
            version: Version::One,
            controllers,
            folder: Rc::new(folder),
            crowded: false,
            most_pids: None,
        })
    }

    /// The nearest group, this process's own and those above it, whose groups can have the most. Steps are in none of those
    /// below it, so what limits their memory or processors is not passed by.
    fn two(top: &Path, own: &Path) -> Option<Self> {
        let mut best: Option<Self> = None;
        let mut most_pids = None;
        for path in own.ancestors().take_while(|folder| folder.starts_with(top)) {
            let found = Self::of_group(path, path == top, path == own);
            if let Some(found) = found.filter(|found| best.as_ref().is_none_or(|best| found.count() > best.count())) {
                best = Some(Self { most_pids, ..found });
            }
            if is_limited(path) {
                break;
            }
            most_pids = most_pids.into_iter().chain(number_in(path, "pids.max")).min();
        }
        best
    }

    fn of_group(path: &Path, is_top: bool, is_own: bool) -> Option<Self> {
        let folder = open_writable(path).ok()?;
        let read = |name: &str| read_file(folder.as_fd(), name);
        let given = read("cgroup.subtree_control").unwrap_or_default();
        let offered = read("cgroup.controllers").unwrap_or_default();
        // Only the first of all, which has no type, may have both processes and groups with controllers.
        let is_first = matches!(read("cgroup.type"), Err(Errno::NOENT));
        let has_processes = !is_first && read("cgroup.procs").map_or(true, |processes| !processes.trim().is_empty());
        let may_clear = is_own && (is_top || is_delegated(folder.as_fd(), path));
        let is_managed = is_managed(folder.as_fd(), path);
        let may_give = !is_managed
            && (!has_processes || may_clear)
            && rustix::fs::accessat(&folder, "cgroup.subtree_control", Access::WRITE_OK, AtFlags::EACCESS).is_ok();
        let controllers: Vec<_> = Controller::all(Version::Two)
            .into_iter()
            .filter(|one| {
                let is_given = has_word(&given, one.name()) && (!is_managed || one.stays_given());
                is_given || (may_give && has_word(&offered, one.name()))
            })
            .collect();
        controllers.iter().any(|one| one.limits()).then_some(Self {
            version: Version::Two,
            controllers,
            folder: Rc::new(folder),
            crowded: has_processes,
            most_pids: None,
        })
    }

    fn count(&self) -> usize {
        self.controllers.len()
    }

    fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Gives the groups in it what they can be given, where they don't have it yet.
    pub(super) fn enable(&self) -> Result<(), Errno> {
        if self.version == Version::One {
            return Ok(());
        }
        let given = read_file(self.folder(), "cgroup.subtree_control")?;
        let missing = |one: &&Controller| !has_word(&given, one.name());
        let missing: Vec<_> = self.controllers.iter().filter(missing).collect();
        if self.crowded && !missing.is_empty() {
            self.clear()?;
        }
        for controller in missing {
            let word = format!("+{}", controller.name());
            let enabled = write_file(self.folder(), "cgroup.subtree_control", &word);
            if controller.limits() {
                enabled?;
            }
        }
        Ok(())
    }

    /// Moves the processes of the place to a group of their own.
    fn clear(&self) -> Result<(), Errno> {
        match rustix::fs::mkdirat(self.folder(), CALLERS, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let callers = rustix::fs::openat(self.folder(), CALLERS, FOLDER, Mode::empty())?;
        for _attempt in 0..ATTEMPTS {
            let processes = read_file(self.folder(), "cgroup.procs")?;
            if processes.trim().is_empty() {
                return Ok(());
            }
            for process in processes.lines() {
                match write_file(callers.as_fd(), "cgroup.procs", process) {
                    // It has ended.
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Err(Errno::BUSY)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether processes of the group are held to some memory or time on processors, by itself.
fn is_limited(group: &Path) -> bool {
    let is_set = |name: &str| fs::read_to_string(group.join(name)).is_ok_and(|limit| !limit.starts_with("max"));
    ["memory.max", "memory.high", "cpu.max"].into_iter().any(is_set)
}

fn number_in(group: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
}

/// Opens a group in which this process may make others, and move processes to.
fn open_writable(path: &Path) -> Result<OwnedFd, Errno> {
    let folder = rustix::fs::openat(
        CWD,
        OsStr::from_bytes(path.as_os_str().as_bytes()),
        FOLDER,
        Mode::empty(),
    )?;
    rustix::fs::accessat(&folder, ".", Access::WRITE_OK, AtFlags::EACCESS)?;
    rustix::fs::accessat(&folder, "cgroup.procs", Access::WRITE_OK, AtFlags::EACCESS)?;
    Ok(folder)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "cgroup v1",
            Self::Two => "cgroup v2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like version 2: a group with controllers, and one in it with processes.
    fn unified(given: &str) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        group(&top, "group", given, "");
        group(&top, "group/own", "", "17\n18\n");
        top
    }

    fn group(top: &tempfile::TempDir, path: &str, given: &str, processes: &str) {
        let folder = top.path().join(path);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cgroup.controllers"), "cpu io memory pids\n").unwrap();
        fs::write(folder.join("cgroup.subtree_control"), given).unwrap();
        fs::write(folder.join("cgroup.procs"), processes).unwrap();
        fs::write(folder.join("cgroup.type"), "domain\n").unwrap();
    }

    fn place(top: &tempfile::TempDir, own: &str) -> Option<Place> {
        Place::two(top.path(), &top.path().join(own))
    }

    #[test]
    fn the_nearest_group_without_processes_is_taken() {
        let top = unified("memory\n");
        let place = place(&top, "group/own").unwrap();
        assert_eq!(
            (&place.controllers[..], place.crowded),
            (&Controller::all(Version::Two)[..], false)
        );
        place.enable().unwrap();
        // A file of the kernel's takes each word by itself.
        let control = fs::read_to_string(top.path().join("group/cgroup.subtree_control")).unwrap();
        assert!(control.starts_with("+io"), "{control}");
        assert!(Place::two(top.path(), top.path()).is_none(), "not a control group");
    }

    #[test]
    fn a_group_with_processes_is_taken_where_nobody_else_manages_it() {
        let top = unified("");
        let own = top.path().join("group/own");
        let namespaced = Place::two(&own, &own).unwrap();
        assert!(namespaced.crowded);
        let parent = Place::two(&own, &own.join("inner"));
        assert!(parent.is_none(), "the processes of another group are not moved");
    }

    #[test]
    fn what_is_given_already_takes_no_rights() {
        let top = unified("");
        fs::write(top.path().join("group/own/cgroup.subtree_control"), "cpu pids").unwrap();
        fs::write(top.path().join("group/cgroup.procs"), "4\n").unwrap();
        let place = place(&top, "group/own").unwrap();
        assert_eq!(place.controllers, [Controller::Cpu, Controller::Pids]);
        place.enable().unwrap();
    }

    #[test]
    fn what_systemd_manages_is_taken_as_it_is_and_without_what_it_may_take_away() {
        let top = tempfile::tempdir().unwrap();
        group(&top, "a.slice", "cpu memory pids", "");
        group(&top, "a.slice/b.service", "", "17\n");
        let found = place(&top, "a.slice/b.service").unwrap();
        assert_eq!(found.controllers, [Controller::Memory, Controller::Pids]);
        found.enable().unwrap();
        let control = fs::read_to_string(top.path().join("a.slice/cgroup.subtree_control")).unwrap();
        assert_eq!(control, "cpu memory pids", "not written to");
        // The group of a systemd, whatever its name.
        let unnamed = unified("memory");
        fs::create_dir(unnamed.path().join("group/init.scope")).unwrap();
        assert_eq!(place(&unnamed, "group/own").unwrap().controllers, [Controller::Memory]);
    }

    #[test]
    fn steps_do_not_pass_by_what_limits_their_caller() {
        let top = tempfile::tempdir().unwrap();
        group(&top, "a.slice", "memory pids", "");
        group(&top, "a.slice/b.service", "", "17\n");
        let limit = |name: &str, text: &str| fs::write(top.path().join("a.slice/b.service").join(name), text).unwrap();
        let found = || place(&top, "a.slice/b.service");
        assert_eq!(found().unwrap().most_pids, None);
        for (name, none) in [
            ("memory.max", "max\n"),
            ("memory.high", "max\n"),
            ("cpu.max", "max 100000\n"),
            ("pids.max", "max\n"),
        ] {
            limit(name, none);
        }
        assert_eq!(found().unwrap().most_pids, None);
        limit("pids.max", "100\n");
        assert_eq!(found().unwrap().most_pids, Some(100));
        for (name, set, none) in [
            ("memory.max", "4096\n", "max\n"),
            ("memory.high", "4096\n", "max\n"),
            ("cpu.max", "50000 100000\n", "max 100000\n"),
        ] {
            limit(name, set);
            assert!(found().is_none(), "{name}");
            limit(name, none);
        }
        // Groups in the own one are held by it.
        limit("memory.max", "4096\n");
        fs::write(top.path().join("a.slice/b.service/cgroup.subtree_control"), "memory").unwrap();
        assert!(found().is_some_and(|found| found.most_pids.is_none()));
    }

    #[test]
    fn what_can_be_had_decides_what_limits() {
        let places = Places {
            all: place(&unified(""), "group/own").into_iter().collect(),
        };
        assert_eq!(places.means(false).memory, LimitedBy::ControlGroup2);
        let none = Places::default();
        assert_eq!(none.means(true).pids, LimitedBy::Process);
        assert_eq!(none.means(false).pids, LimitedBy::Nothing);
        assert_eq!(none.means(false).cpus, LimitedBy::Process);
        let memory = Limits {
            memory_bytes: Some(1),
            ..Limits::default()
        };
        assert!(places.needed(&Limits::default()).is_empty() && none.needed(&memory).is_empty());
        assert_eq!(places.needed(&memory).len(), 1);
    }
}
