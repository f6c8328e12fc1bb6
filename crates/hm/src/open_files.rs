//! How many files this process may have open (getrlimit(2), `RLIMIT_NOFILE`).

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::output;

/// What a build has open apart from its steps.
const OF_A_BUILD: u64 = 40;
/// What each step adds, in `hm` or in the launcher, which has the same limit: with limits on cgroup v1 that one has more.
const OF_A_STEP: u64 = 6;
/// More is of no use to a build, and programs that go through all possible descriptors get slow.
const ENOUGH: u64 = 1 << 16;

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

    /// How many of these steps may run at once, with a note where it is not all of them.
    pub(crate) fn bound(self, wanted: NonZeroUsize) -> NonZeroUsize {
        let possible = self.steps();
        if possible >= wanted {
            return wanted;
        }
        let needed = OF_A_BUILD.saturating_add(OF_A_STEP.saturating_mul(wanted.get() as u64));
        output::note(&format!(
            "note: {possible} steps run at once, not {wanted}: `hm` may open only {} files. To mend it: \
             sudo prlimit --pid $$ --nofile={needed}",
            self.hard.unwrap_or_default()
        ));
        possible
    }

    fn steps(self) -> NonZeroUsize {
        let Some(hard) = self.hard else {
            return NonZeroUsize::MAX;
        };
        let steps = hard.saturating_sub(OF_A_BUILD) / OF_A_STEP;
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        NonZeroUsize::new(steps).unwrap_or(NonZeroUsize::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_steps_run_as_have_room() {
        let steps = |hard| OpenFiles { soft: Some(64), hard }.steps().get();
        assert_eq!((steps(Some(128)), steps(Some(40 + 6 * 200))), (14, 200));
        assert_eq!((steps(Some(10)), steps(None)), (1, usize::MAX));
    }
}
