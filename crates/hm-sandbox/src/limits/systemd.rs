//! Groups of version 2 that systemd looks after (systemd: Control Group APIs and Delegation).

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags};

/// What the names of groups of units end with that have groups or processes in them.
const UNITS: [&str; 3] = ["slice", "scope", "service"];

/// Whether systemd decides which controllers the groups in this one have. What it did not give them itself it takes away
/// whenever it looks at its units, as for `systemctl daemon-reload`.
pub(super) fn is_managed(group: BorrowedFd<'_>, path: &Path) -> bool {
    let is_unit = path
        .extension()
        .is_some_and(|kind| UNITS.iter().any(|unit| kind == *unit));
    // The group that a system's or a user's systemd was given, which it is in itself.
    let is_of_manager = rustix::fs::accessat(group, "init.scope", Access::EXISTS, AtFlags::empty()).is_ok();
    is_of_manager || (is_unit && !is_delegated(group, path))
}

/// Whether systemd leaves the group and what is below it to its processes. The system's marks its groups, those of users
/// don't; but what a unit was made with that has no file is in a folder of theirs (systemd.unit(5), transient units).
pub(super) fn is_delegated(group: BorrowedFd<'_>, path: &Path) -> bool {
    let is_marked = ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        matches!(rustix::fs::fgetxattr(group, name, &mut value), Ok(1)) && value.first() == Some(&b'1')
    });
    is_marked || transient_unit(path).is_some_and(|file| fs::read_to_string(file).is_ok_and(|unit| delegates(&unit)))
}

/// The file of a unit that a user's systemd was told of at run time.
fn transient_unit(group: &Path) -> Option<PathBuf> {
    let (_, below) = group.to_str()?.rsplit_once("/user@")?;
    let (user, below) = below.split_once(".service/")?;
    let user: u32 = user.parse().ok()?;
    let unit = below.rsplit('/').next()?;
    Some(PathBuf::from(format!("/run/user/{user}/systemd/transient/{unit}")))
}

/// The last word counts (systemd.syntax(7)).
fn delegates(unit: &str) -> bool {
    let value = unit.lines().rev().find_map(|line| line.strip_prefix("Delegate="));
    value.is_some_and(|value| !["", "no", "false", "0", "off"].contains(&value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_users_unit_is_found_by_the_name_of_its_group() {
        let users = "/sys/fs/cgroup/user.slice/user-7.slice/user@7.service";
        let file = |below: &str| transient_unit(Path::new(&format!("{users}{below}")));
        assert_eq!(
            file("/app.slice/run-r1.scope").as_deref(),
            Some(Path::new("/run/user/7/systemd/transient/run-r1.scope"))
        );
        assert_eq!(file(""), None, "the system's");
        assert_eq!(transient_unit(Path::new("/sys/fs/cgroup/user@x.service/a.scope")), None);
    }

    #[test]
    fn units_say_whether_they_are_delegated() {
        assert!(delegates("# transient\n[Scope]\nDelegate=yes\n"));
        assert!(delegates("Delegate=no\nDelegate=cpu memory\n"));
        for unit in ["", "[Scope]\n", "Delegate=yes\nDelegate=no\n", "Delegate=\n"] {
            assert!(!delegates(unit), "{unit}");
        }
    }
}
