//! Where the hierarchies of control groups are, and where in them this process is: cgroups(7).

use std::path::{Path, PathBuf};

use super::controller::{Controller, Version};

/// One hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// Those of its controllers that are of use; none for version 2, where each group says which it has.
    pub(super) controllers: Vec<Controller>,
    /// Where it is mounted.
    pub(super) top: PathBuf,
    /// This process's group.
    pub(super) own: PathBuf,
}

/// Those that are of use, from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(super) fn hierarchies(mounts: &str, groups: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in mounts.lines().filter_map(Mount::of_line) {
        let controllers: Vec<_> = match mount.version {
            Version::One => {
                let all = Controller::all(Version::One);
                all.into_iter().filter(|one| has(mount.options, *one)).collect()
            }
            Version::Two => Vec::new(),
        };
        if mount.version == Version::One && controllers.is_empty() {
            continue;
        }
        // What lies outside of the mount is out of reach, as in a container.
        let own = own_group(groups, &controllers);
        let Some(below) = own.and_then(|own| Path::new(own).strip_prefix(mount.root).ok()) else {
            continue;
        };
        let hierarchy = Hierarchy {
            version: mount.version,
            controllers,
            top: PathBuf::from(mount.top),
            own: Path::new(mount.top).join(below),
        };
        let is_known =
            |other: &Hierarchy| (other.version, &other.controllers) == (hierarchy.version, &hierarchy.controllers);
        if !found.iter().any(is_known) {
            found.push(hierarchy);
        }
    }
    found
}

/// The parts of a line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`) that matter here.
struct Mount<'a> {
    version: Version,
    root: &'a str,
    top: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn of_line(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, top) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let version = match after.next()? {
            "cgroup" => Version::One,
            "cgroup2" => Version::Two,
            _ => return None,
        };
        let options = after.nth(1).unwrap_or_default();
        Some(Self {
            version,
            root,
            top,
            options,
        })
    }
}

/// The path behind the controllers in a line `ID:CONTROLLERS:PATH`; version 2's has none.
fn own_group<'a>(groups: &'a str, controllers: &[Controller]) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (list, path) = rest.split_once(':')?;
        let is_it = if controllers.is_empty() {
            list.is_empty()
        } else {
            controllers.iter().any(|one| has(list, *one))
        };
        is_it.then_some(path)
    })
}

fn has(list: &str, controller: Controller) -> bool {
    list.split(',').any(|word| word == controller.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "\
24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
25 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
26 24 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
26 24 0:24 / /elsewhere rw - cgroup cgroup rw,memory
28 24 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
27 24 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn shown(found: Vec<Hierarchy>) -> Vec<String> {
        let line = |found: Hierarchy| {
            let own = found.own.strip_prefix(&found.top).unwrap().display().to_string();
            format!(
                "{:?} {:?} {} {own}",
                found.version,
                found.controllers,
                found.top.display()
            )
        };
        found.into_iter().map(line).collect()
    }

    #[test]
    fn both_versions_are_found_side_by_side() {
        let groups = "4:memory:/some/where\n2:name=systemd:/\n1:cpu,cpuacct:/\n0::/user.slice\n";
        assert_eq!(
            shown(hierarchies(MIXED, groups)),
            [
                "One [Cpu, Cpuacct] /sys/fs/cgroup/cpu,cpuacct ",
                "One [Memory] /sys/fs/cgroup/memory some/where",
                "Two [] /sys/fs/cgroup/unified user.slice",
            ]
        );
    }

    #[test]
    fn a_group_above_the_mount_is_out_of_reach() {
        let container = "30 1 0:9 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(
            shown(hierarchies(container, "0::/docker/1/a")),
            ["Two [] /sys/fs/cgroup a"]
        );
        assert!(hierarchies(container, "0::/elsewhere").is_empty());
    }

    #[test]
    fn nonsense_is_passed_over() {
        assert!(hierarchies("x\n1 2 3 - cgroup2\n\n - \n", "0\n:\n").is_empty());
    }
}
