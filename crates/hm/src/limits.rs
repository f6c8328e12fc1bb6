//! What holds steps to their limits, in words.

use std::path::Path;

use hm_pipeline_ir::{Pipeline, Resources};
use hm_sandbox::{LimitMeans, LimitedBy};

/// What to tell before a build with limits that are not held, or by weaker means than control groups.
pub(crate) fn note(pipeline: &Pipeline) -> Option<String> {
    let asked = Asked::by(pipeline);
    if asked == Asked::default() {
        return None;
    }
    let weak = weak(hm_sandbox::limit_means(), asked);
    (!weak.is_empty()).then(|| {
        format!(
            "note: limits of steps are weaker here, where no control groups can be made: {}. To mend it: {}",
            weak.join("; "),
            fix()
        )
    })
}

/// Which limits some step has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    cpus: bool,
    memory: bool,
    pids: bool,
}

impl Asked {
    pub(crate) const ALL: Self = Self {
        cpus: true,
        memory: true,
        pids: true,
    };

    fn by(pipeline: &Pipeline) -> Self {
        let graph = pipeline.graph();
        let resources = graph.indices().filter_map(|at| graph.step(at).resources.as_ref());
        resources.fold(Self::default(), |asked, Resources { cpus, memory_mib, pids }| Self {
            cpus: asked.cpus || cpus.is_some(),
            memory: asked.memory || memory_mib.is_some(),
            pids: asked.pids || pids.is_some(),
        })
    }
}

/// What each limit means that no control group holds.
pub(crate) fn weak(means: LimitMeans, asked: Asked) -> Vec<&'static str> {
    let told = [
        (
            asked.cpus,
            means.cpus,
            "cpus are whole processors, which other steps may use, too",
            "cpus are not limited",
        ),
        (
            asked.memory,
            means.memory,
            "memory is that of each process by itself, and running out of it is not told apart",
            "memory is not limited",
        ),
        (
            asked.pids,
            means.pids,
            "pids count the processes of all steps that run at once",
            "pids are not limited",
        ),
    ];
    let told = told.into_iter().filter(|(asked, ..)| *asked);
    told.filter_map(|(_, means, weaker, not)| match means {
        LimitedBy::ControlGroup1 | LimitedBy::ControlGroup2 => None,
        LimitedBy::Process => Some(weaker),
        LimitedBy::Nothing => Some(not),
    })
    .collect()
}

/// What lets this user make control groups.
pub(crate) fn fix() -> &'static str {
    let has_version_2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    match (rustix::process::geteuid().is_root(), has_version_2) {
        (true, _) => "mount -o remount,rw /sys/fs/cgroup",
        (false, true) => "systemd-run --user --scope -p Delegate=yes hm run",
        (false, false) => {
            "sudo cgcreate -t $(id -un):$(id -gn) -a $(id -un):$(id -gn) -g cpu,cpuacct,memory,pids:hm && \
             cgexec -g cpu,cpuacct,memory,pids:hm hm run   # package cgroup-tools"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(by: LimitedBy) -> LimitMeans {
        LimitMeans {
            cpus: by,
            memory: by,
            pids: by,
        }
    }

    #[test]
    fn only_weaker_means_of_what_is_asked_are_told() {
        for by in [LimitedBy::ControlGroup1, LimitedBy::ControlGroup2] {
            assert!(weak(means(by), Asked::ALL).is_empty());
        }
        let pids = Asked {
            pids: true,
            ..Asked::default()
        };
        assert_eq!(weak(means(LimitedBy::Nothing), pids), ["pids are not limited"]);
        let told = weak(means(LimitedBy::Process), pids);
        assert_eq!(told, ["pids count the processes of all steps that run at once"]);
        assert_eq!(weak(means(LimitedBy::Process), Asked::ALL).len(), 3);
    }
}
