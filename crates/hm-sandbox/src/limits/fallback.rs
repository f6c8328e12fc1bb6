//! Limits where there is no control group: of each process (getrlimit(2)), and of where it may run
//! (`sched_setaffinity(2)`).

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::request::{LimitMeans, LimitedBy, Limits};

/// The launcher and the step's PID 1, which are counted among the user's processes.
const OWN_PROCESSES: u64 = 2;

/// What a command's process takes on before it is executed.
#[derive(Debug, Default)]
pub(crate) struct Fallback {
    rlimits: Vec<(Resource, u64)>,
    cpus: Option<CpuSet>,
}

impl Fallback {
    /// What of the limits nothing else enforces. Steps with different numbers are spread over the processors.
    pub(crate) fn of(limits: &Limits, means: LimitMeans, step: u64) -> Self {
        let mut rlimits = Vec::new();
        if let (Some(bytes), LimitedBy::Process) = (limits.memory_bytes, means.memory) {
            // Private writable memory. The address space as a whole would stop programs that reserve much and use little.
            rlimits.push((Resource::Data, bytes));
        }
        if let (Some(pids), LimitedBy::Process) = (limits.pids, means.pids) {
            rlimits.push((Resource::Nproc, pids.saturating_add(OWN_PROCESSES)));
        }
        let cpus = limits.cpus.filter(|_| means.cpus == LimitedBy::Process);
        Self {
            rlimits,
            cpus: cpus.and_then(|cpus| some_of(&sched_getaffinity(None).ok()?, cpus, step)),
        }
    }

    /// Makes only system calls.
    pub(crate) fn take_on(&self) -> Result<(), Errno> {
        for (resource, limit) in &self.rlimits {
            let hard = getrlimit(*resource).maximum;
            let limit = Some(hard.map_or(*limit, |hard| hard.min(*limit)));
            setrlimit(
                *resource,
                Rlimit {
                    current: limit,
                    maximum: limit,
                },
            )?;
        }
        self.cpus.as_ref().map_or(Ok(()), |cpus| sched_setaffinity(None, cpus))
    }
}

/// As many whole processors as are needed; `None`: all of them are.
fn some_of(usable: &CpuSet, needed: f64, step: u64) -> Option<CpuSet> {
    let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| usable.is_set(*cpu)).collect();
    let mut chosen = CpuSet::new();
    let first = usize::try_from(step).unwrap_or(0).checked_rem(usable.len())?;
    let turns = usable.iter().cycle().skip(first).take(usable.len());
    for (cpu, _) in turns.zip(0_u32..).take_while(|(_, count)| f64::from(*count) < needed) {
        chosen.set(*cpu);
    }
    (chosen.count() > 0).then_some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        cpus: Some(0.5),
        memory_bytes: Some(1 << 26),
        pids: Some(10),
    };

    #[test]
    fn only_what_nothing_else_enforces_is_taken_on() {
        let all = |by| LimitMeans {
            cpus: by,
            memory: by,
            pids: by,
        };
        for by in [LimitedBy::ControlGroup1, LimitedBy::ControlGroup2, LimitedBy::Nothing] {
            let none = Fallback::of(&LIMITS, all(by), 1);
            assert!(none.rlimits.is_empty() && none.cpus.is_none());
        }
        let some = Fallback::of(&LIMITS, all(LimitedBy::Process), 1);
        assert_eq!(some.rlimits, [(Resource::Data, 1 << 26), (Resource::Nproc, 12)]);
        assert_eq!(some.cpus.unwrap().count(), 1, "half of one is one");
    }

    #[test]
    fn steps_are_spread_over_the_processors() {
        let mut usable = CpuSet::new();
        for cpu in [1, 4, 6] {
            usable.set(cpu);
        }
        let chosen = |needed, step| {
            let set = some_of(&usable, needed, step).unwrap();
            let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
            cpus
        };
        assert_eq!(
            (chosen(1.0, 0), chosen(1.0, 1), chosen(1.0, 5)),
            (vec![1], vec![4], vec![6])
        );
        assert_eq!((chosen(1.5, 2), chosen(64.0, 1)), (vec![1, 6], vec![1, 4, 6]));
    }
}
