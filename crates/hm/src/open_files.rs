//! How many files this process may have open (getrlimit(2), `RLIMIT_NOFILE`).

use std::num::NonZeroUsize;

use hm_exec::RunOptions;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// What a build has open apart from its steps.
const OF_A_BUILD: u64 = 44;
/// What each step adds, in `hm` or in the launcher, which has the same limit: with limits on cgroup v1 that one has more.
const OF_A_STEP: u64 = 6;
/// What a step adds that is looked up in the cache or waits to start: the lock of its key, and what the look-up reads.
const OF_A_LOOKUP: u64 = 2;
/// More is of no use to a build, and programs that go through all possible descriptors get slow.
const ENOUGH: u64 = 1 << 16;

/// What a build may do at once with the files it may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtOnce {
    /// Steps that run.
    pub(crate) steps: NonZeroUsize,
    /// Steps that are looked up in the cache or wait to start, with the lock of their key.
    pub(crate) lookups: NonZeroUsize,
}

/// The limits that were found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFiles {
    /// The user's programs have this one, and so have steps; `None`: there is none.
    pub(crate) soft: Option<u64>,
    hard: Option<u64>,
}

impl OpenFiles {
    /// Takes as many as may be had: many systems begin with far fewer.
    pub(crate) fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
        if current.is_some_and(|soft| soft < wanted) {
            let raised = Rlimit {
                current: Some(wanted),
                maximum,
            };
            // Up to the hard limit it is allowed; whoever forbids it all the same leaves things as they were.
            let _stays = setrlimit(Resource::Nofile, raised);
        }
        Self {
            soft: current,
            hard: maximum,
        }
    }

    /// How much of this may be done at once, with a note where that is fewer steps than wanted.
    pub(crate) fn share(self, wanted: NonZeroUsize) -> Result<AtOnce, CliError> {
        if let Some(hard) = self.hard.filter(|&hard| hard < OF_A_BUILD) {
            return Err(too_few(hard));
        }
        let possible = self.at_once();
        if possible.steps >= wanted {
            return Ok(AtOnce {
                steps: wanted,
                ..possible
            });
        }
        let needed = OF_A_BUILD.saturating_add((OF_A_STEP + OF_A_LOOKUP).saturating_mul(wanted.get() as u64));
        let runs = if possible.steps.get() == 1 {
            "step runs"
        } else {
            "steps run"
        };
        output::note(&format!(
            "note: {} {runs} at once, not {wanted}: `hm` may open only {} files. To mend it: {}",
            possible.steps,
            self.hard.unwrap_or_default(),
            fix(needed)
        ));
        Ok(possible)
    }

    /// A quarter of the files that a build leaves is for look-ups.
    fn at_once(self) -> AtOnce {
        let room = self.hard.map_or(u64::MAX, |hard| hard.saturating_sub(OF_A_BUILD));
        let lookups = (room / 4 / OF_A_LOOKUP).min(RunOptions::DEFAULT_OPEN_LOOKUPS.get() as u64);
        let steps = (room - lookups * OF_A_LOOKUP) / OF_A_STEP;
        AtOnce {
            steps: at_least_one(steps),
            lookups: at_least_one(lookups),
        }
    }
}

fn at_least_one(count: u64) -> NonZeroUsize {
    NonZeroUsize::new(usize::try_from(count).unwrap_or(usize::MAX)).unwrap_or(NonZeroUsize::MIN)
}

fn too_few(hard: u64) -> CliError {
    CliError::new(
        "files_limited",
        Exit::Unavailable,
        format!("a build needs {OF_A_BUILD} open files, and `hm` may have {hard}"),
    )
    .cause("the hard limit of open files (ulimit -Hn)")
    .fix(fix(1024))
}

fn fix(files: u64) -> String {
    format!("sudo prlimit --pid $$ --nofile={files}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_done_at_once_as_has_room() {
        let at_once = |hard| {
            let AtOnce { steps, lookups } = OpenFiles { soft: Some(64), hard }.at_once();
            (steps.get(), lookups.get())
        };
        assert_eq!(at_once(Some(10)), (1, 1));
        assert_eq!(at_once(Some(64)), (2, 2));
        assert_eq!(at_once(Some(1024)), (122, 122));
        assert_eq!(at_once(Some(1 << 20)).1, 1024);
        assert_eq!(at_once(None), (usize::MAX / 6 - 341, 1024));
    }
}
