//! Which ids on disk the users of machines have.

use std::fs;

use rustix::thread::CapabilitySet;

/// The first line of an id map that maps nothing away (`user_namespaces(7)`).
const WHOLE_ID_MAP: [u32; 3] = [0, 0, u32::MAX];

/// How users and groups of machines are kept on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owners {
    /// As they are: this process is root.
    Same,
    /// Everything belongs to the user of this process.
    One,
    /// 0 is the user of this process, and 1 and up are subordinate ids (`subuid(5)`), which the process has rights over.
    Mapped {
        /// Users.
        users: Ids,
        /// Groups.
        groups: Ids,
    },
}

/// The ids of machines on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    own: u32,
    first: u32,
    count: u32,
}

impl Owners {
    /// What this process can do: a process that has entered a user namespace with subordinate ids can give files to them.
    pub fn of_process() -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::Same;
        }
        let may_give = CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
        let may_give = rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(may_give));
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let ids = |map: &str, own| Ids::in_map(&fs::read_to_string(map).unwrap_or_default(), own);
        match (
            ids("/proc/self/uid_map", uid.as_raw()),
            ids("/proc/self/gid_map", gid.as_raw()),
        ) {
            (Some(users), Some(groups)) if may_give => Self::Mapped { users, groups },
            _ => Self::One,
        }
    }

    /// The owner on disk of what this user and group of a machine have. `None`: they don't exist in machines.
    pub fn on_disk(self, user: u32, group: u32) -> Option<(u32, u32)> {
        match self {
            Self::Same => Some((user, group)),
            Self::One => {
                let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
                Some((uid.as_raw(), gid.as_raw()))
            }
            Self::Mapped { users, groups } => Some((users.on_disk(user)?, groups.on_disk(group)?)),
        }
    }

    /// The greatest user and group of machines.
    pub(crate) fn greatest(self) -> u32 {
        match self {
            Self::Same | Self::One => u32::MAX - 1,
            Self::Mapped { users, groups } => users.count.min(groups.count),
        }
    }
}

impl Ids {
    /// The ids in the text of a map, where each is the same inside and outside. With several ranges it is the largest.
    fn in_map(map: &str, own: u32) -> Option<Self> {
        let lines = map.lines().filter_map(|line| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            <[u32; 3]>::try_from(numbers).ok()
        });
        let given = lines.filter(|line| *line != WHOLE_ID_MAP && line[0] != own);
        let [first, _, count] = given.max_by_key(|[_, _, count]| *count)?;
        Some(Self { own, first, count })
    }

    fn on_disk(self, id: u32) -> Option<u32> {
        match id {
            0 => Some(self.own),
            id if id <= self.count => Some(self.first + (id - 1)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_map_of_the_process() {
        let ids = Ids::in_map(
            "      1000       1000          1\n    100000     100000      65536\n",
            1000,
        )
        .unwrap();
        let on_disk = [0, 1, 65536, 65537].map(|id| ids.on_disk(id));
        assert_eq!(on_disk, [Some(1000), Some(100_000), Some(165_535), None]);
        assert_eq!(Ids::in_map("0 0 4294967295\n", 1000), None);
        assert_eq!(Ids::in_map("1000 1000 1\n", 1000), None);
    }
}
