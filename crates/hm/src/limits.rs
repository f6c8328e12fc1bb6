//! What holds steps to their limits, in words.

use std::fs;
use std::path::{Path, PathBuf};

use hm_pipeline_ir::{Pipeline, Resources};
use hm_sandbox::{LimitMeans, LimitedBy};

use crate::process::Process;

/// What to tell before a build with limits that are not held, or by weaker means than control groups.
pub(crate) fn note(pipeline: &Pipeline, process: &Process) -> Option<String> {
    let asked = Asked::by(pipeline);
    if asked == Asked::default() {
        return None;
    }
    let weak = weak(hm_sandbox::limit_means(), asked);
    (!weak.is_empty()).then(|| {
        format!(
            "note: limits of steps are weaker here, where no control group holds them: {}. To mend it: {}",
            weak.join("; "),
            fix(process)
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

/// What lets this user make control groups that hold everything.
pub(crate) fn fix(process: &Process) -> String {
    let user = rustix::process::geteuid();
    let has_systemd = Path::new("/run/systemd/system").exists();
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return if user.is_root() { REMOUNT } else { GIVE_AWAY }.to_owned();
    }
    match (has_systemd, user.is_root()) {
        (false, true) => REMOUNT.to_owned(),
        (true, true) => format!("systemd-run --scope {DELEGATED}"),
        (true, false) => of_user_manager(UserManager::look(user.as_raw(), process)),
        (false, false) => OWN_GROUP.to_owned(),
    }
}

/// What `systemd-run` makes a group that it leaves to `hm` with.
const DELEGATED: &str = "-p Delegate=yes hm run";
const REMOUNT: &str = "mount -o remount,rw /sys/fs/cgroup";
const GIVE_AWAY: &str = "sudo cgcreate -t $(id -un):$(id -gn) -a $(id -un):$(id -gn) -g cpu,cpuacct,memory,pids:hm && \
    cgexec -g cpu,cpuacct,memory,pids:hm hm run   # package cgroup-tools";
/// Moves the shell to a group in one that is the user's.
const OWN_GROUP: &str = "sudo sh -c \"cd /sys/fs/cgroup && echo +cpu +memory +pids +io > cgroup.subtree_control && \
    mkdir -p hm/shell && chown -R $(id -u) hm && echo $$ > hm/shell/cgroup.procs\" && hm run";
const KNOW_MANAGER: &str = "export XDG_RUNTIME_DIR=/run/user/$(id -u) && ";
/// Returns when it can be asked for something.
const START_MANAGER: &str = "sudo loginctl enable-linger $(id -un) && sudo systemctl start user@$(id -u) && ";
/// The systemd of a user learns only when it starts what it was given.
const GIVE_CONTROLLERS: &str = "sudo mkdir -p /etc/systemd/system/user@.service.d && \
    printf '[Service]\\nDelegate=yes\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && \
    sudo systemctl daemon-reload && systemctl --user daemon-reexec && ";

/// The systemd of an ordinary user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UserManager {
    runs: bool,
    /// It is in the environment, so `systemctl` finds it.
    is_known: bool,
    /// It may give time on processors.
    has_cpu: bool,
}

impl UserManager {
    fn look(user: u32, process: &Process) -> Self {
        let runtime = PathBuf::from(format!("/run/user/{user}"));
        let service = format!("/sys/fs/cgroup/user.slice/user-{user}.slice/user@{user}.service");
        let controllers = fs::read_to_string(Path::new(&service).join("cgroup.controllers"));
        Self {
            runs: runtime.join("systemd").exists(),
            is_known: process.variable("XDG_RUNTIME_DIR").is_some(),
            has_cpu: controllers.map_or(true, |list| list.split_whitespace().any(|one| one == "cpu")),
        }
    }
}

fn of_user_manager(manager: UserManager) -> String {
    let before = [
        (manager.runs, START_MANAGER),
        (manager.is_known, KNOW_MANAGER),
        (manager.has_cpu, GIVE_CONTROLLERS),
    ];
    let before = before.into_iter().filter(|(is_there, _)| !is_there);
    let before: String = before.map(|(_, command)| command).collect();
    format!("{before}systemd-run --user --scope {DELEGATED}")
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

    #[test]
    fn a_user_is_told_what_the_systemd_of_theirs_lacks() {
        const RUN: &str = "systemd-run --user --scope -p Delegate=yes hm run";
        let all = UserManager {
            runs: true,
            is_known: true,
            has_cpu: true,
        };
        assert_eq!(of_user_manager(all), RUN);
        let after_su = UserManager { is_known: false, ..all };
        assert_eq!(
            of_user_manager(after_su),
            format!("export XDG_RUNTIME_DIR=/run/user/$(id -u) && {RUN}")
        );
        let none = UserManager { runs: false, ..all };
        assert_eq!(
            of_user_manager(none),
            format!("sudo loginctl enable-linger $(id -un) && sudo systemctl start user@$(id -u) && {RUN}")
        );
        let older = UserManager { has_cpu: false, ..all };
        let fix = of_user_manager(older);
        let reloads = format!("&& sudo systemctl daemon-reload && systemctl --user daemon-reexec && {RUN}");
        assert!(
            fix.contains("printf '[Service]\\nDelegate=yes\\n' |") && fix.ends_with(&reloads),
            "{fix}"
        );
    }
}
