//! The control groups of one step.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::controller::{Controller, Version};
use super::count::Counted;
use super::lease::Leased;
use super::places::{Place, Places};
use crate::error::{SetupError, Stage, at};
use crate::request::Limits;

/// The groups of one step: one in each hierarchy that is needed.
#[derive(Debug, Default)]
pub(crate) struct Group {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    version: Version,
    controllers: Vec<Controller>,
    leased: Leased,
    /// The limit of processes is not the step's.
    lends_pids: bool,
}

impl Group {
    /// Makes what the limits need, as far as there are places. A step that is limited is counted as well, and one that is
    /// not has no group.
    pub(crate) fn make(places: &Places, limits: &Limits, step: u64) -> Result<Option<Self>, SetupError> {
        let needed = places.needed(limits);
        if needed.is_empty() {
            return Ok(None);
        }
        let mut group = Self::default();
        for place in needed {
            if let Err(errno) = group.add(place, limits, step) {
                group.finish();
                return Err(at(Stage::Limits, place.version.to_string())(errno));
            }
        }
        Ok(Some(group))
    }

    fn add(&mut self, place: &Place, limits: &Limits, step: u64) -> Result<(), Errno> {
        place.enable()?;
        let leased = Leased::make(&place.folder, step)?;
        let folder = leased.folder();
        let lent_pids = place
            .most_pids
            .filter(|most| limits.pids.is_none_or(|asked| asked > *most));
        let limits = &Limits {
            pids: lent_pids.or(limits.pids),
            ..*limits
        };
        let set = |controller: &Controller| controller.set(folder, place.version, limits);
        let set = place.controllers.iter().try_for_each(set);
        self.parts.push(Part {
            version: place.version,
            controllers: place.controllers.clone(),
            leased,
            lends_pids: lent_pids.is_some(),
        });
        set
    }

    /// The files through which a process joins by writing `0` to each.
    pub(crate) fn doors(&self) -> Result<Vec<OwnedFd>, SetupError> {
        let open = |part: &Part| {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(part.leased.folder(), "cgroup.procs", flags, Mode::empty())
        };
        let doors = self.parts.iter().map(open).collect::<Result<_, _>>();
        doors.map_err(at(Stage::Limits, "cgroup.procs"))
    }

    /// Reads what was counted and removes the groups. No process may be left in them.
    pub(crate) fn finish(self) -> Counted {
        let mut counted = Counted::default();
        for part in self.parts {
            counted.read(part.leased.folder(), part.version, &part.controllers);
            counted.out_of_pids &= !part.lends_pids;
            part.leased.remove();
        }
        counted
    }
}
