//! `hm doctor`: what this machine can do, what holds of the sandbox, and what to do about what does not.

use std::fmt::Write as _;
use std::path::Path;

use hm_sandbox::{Confinement, IdMap, Launcher, LauncherSettings, LimitMeans, Roots, SandboxError};
use hm_vm::RootKind;
use serde_json::json;

use super::{doctor_engine, doctor_machine};
use crate::cli::{DoctorArgs, Format};
use crate::error::CliError;
use crate::exit::Exit;
use crate::limits;
use crate::network::{self, Lack};
use crate::output;
use crate::process::Process;
use crate::settings::{ImageCommandSettings, Places};
use crate::users;

/// One line of the report.
pub(super) struct Finding {
    pub(super) what: &'static str,
    pub(super) state: State,
    /// How it is.
    pub(super) is: String,
    /// What would make it better.
    pub(super) fix: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Ok,
    /// Something is weaker, or does not work.
    Lack,
    /// Not there, and needed only by who asks for it.
    Off,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lack => "lack",
            Self::Off => "off",
        }
    }
}

/// Starts a launcher as a build would, and tells what it found. Lacks that only weaken something are no failure.
pub(crate) fn doctor(args: &DoctorArgs, process: &Process) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::from_error("runtime_unavailable", Exit::Unavailable, &error))?;
    let settings = ImageCommandSettings::resolve(&Places::find(None, process)?, process)?;
    let store = settings.store;
    let asked = runtime.block_on(ask(&store, settings.roots));
    let (found, exit) = if args.sandbox {
        let confinement = asked.map_err(|error| {
            let told = CliError::from_error("sandbox_unavailable", Exit::Unavailable, &error);
            match error.fix() {
                Some(fix) => told.caused_by_sources_of(&error).fix(fix),
                None => NAMESPACE_FIXES.into_iter().fold(told, CliError::fix),
            }
        })?;
        let mut found = findings(&confinement, process);
        found.push(runtime.block_on(networks(process)));
        (found, Exit::Success)
    } else {
        let exit = if asked.is_ok() {
            Exit::Success
        } else {
            Exit::Unavailable
        };
        let engine = runtime.block_on(doctor_engine::find(process));
        (doctor_machine::findings(asked, engine, &store, process), exit)
    };
    output::result(&match args.format {
        Format::Human => text(&found),
        Format::Json => found.iter().map(as_json).collect(),
    })?;
    Ok(exit)
}

/// What has the kernel mount overlays, where it is not told not to.
pub(super) const OVERLAY_FIX: &str = "sudo modprobe overlay";

/// What lets ordinary users have namespaces.
pub(super) const NAMESPACE_FIXES: [&str; 2] = [
    "sysctl user.max_user_namespaces=15000   # as root, if it is 0",
    "sysctl kernel.apparmor_restrict_unprivileged_userns=0   # as root, on Ubuntu 24.04 and later",
];

/// Starts a launcher as a build would that has its store here.
async fn ask(store: &Path, roots: RootKind) -> Result<Confinement, SandboxError> {
    let trial = existing(store).join(format!(".hm-doctor-{}", std::process::id()));
    let settings = LauncherSettings {
        overlays: roots.overlays(trial),
        ..LauncherSettings::default()
    };
    let launcher = Launcher::start(settings).await?;
    let confinement = launcher.confinement();
    launcher.close().await?;
    Ok(confinement)
}

/// The nearest folder that is there.
pub(super) fn existing(folder: &Path) -> &Path {
    let mut above = folder.ancestors();
    above.find(|folder| folder.is_dir()).unwrap_or(Path::new("/"))
}

/// Tries whether steps can have a network of their own.
async fn networks(process: &Process) -> Finding {
    let lacking = |is: String, fix: &str| Finding {
        what: "networks",
        state: State::Lack,
        is,
        fix: Some(fix.to_owned()),
    };
    let slirp4netns = match network::isolated(process) {
        Ok(slirp4netns) => Some(slirp4netns),
        Err(Lack { what, fix }) => return lacking(format!("steps share the host's: {what}"), fix),
    };
    let settings = LauncherSettings {
        slirp4netns,
        ..LauncherSettings::default()
    };
    let tried = async {
        let launcher = Launcher::start(settings).await?;
        let tried = launcher.try_isolated_network().await;
        launcher.close().await?;
        tried
    };
    match tried.await {
        Ok(true) if hm_sandbox::shadows_network_of_host() => lacking(
            "each step has its own; hosts of fd00::/64, to which this machine has a route, are out of reach, because \
             slirp4netns takes that network for its own"
                .to_owned(),
            "HM_SANDBOX__NETWORK=host hm run   # steps share the host's network",
        ),
        Ok(true) => holds(
            "networks",
            "each step has its own, with a way out; the host's loopback is out of reach",
        ),
        Ok(false) => holds(
            "networks",
            "each step has its own; this host itself has no default route",
        ),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let is = format!(
                "steps can't have one of their own: {error}{}",
                cause.unwrap_or_default()
            );
            lacking(is, "HM_SANDBOX__NETWORK=host hm run   # steps share the host's network")
        }
    }
}

fn findings(confinement: &Confinement, process: &Process) -> Vec<Finding> {
    vec![
        holds(
            "namespaces",
            "mount, PID, UTS, IPC, control groups; network unless a step asks for the host's",
        ),
        ids(confinement.ids, process),
        roots(confinement.roots),
        holds("capabilities", "Docker's default set without MKNOD; no_new_privs"),
        holds("system calls", "filtered (seccomp mode 2)"),
        holds(
            "/proc and /sys",
            "kernel settings read-only; what tells about the host masked",
        ),
        choose(
            "keyrings",
            confinement.own_keyring,
            "apart from yours, and closed to steps",
            "yours is shared, and closed to steps",
            "wait for unused keys to expire, or raise kernel.keys.maxkeys",
        ),
        choose(
            "abstract sockets",
            confinement.scopes_abstract_sockets,
            "the host's are out of reach (Landlock)",
            "the host's are in reach of steps that use its network",
            "use Linux 6.12 or later with Landlock, or run steps without network",
        ),
        control_groups(),
        limits(confinement.limits, process),
    ]
}

/// What the roots of steps are.
pub(super) fn roots(roots: Roots) -> Finding {
    let copies = "each step works on a copy of its image, which takes longer";
    let (state, is, fix) = match roots {
        Roots::Overlays => (State::Ok, "mounted by the kernel".to_owned(), None),
        Roots::Copies { refused: None } => (
            State::Lack,
            format!("not used, as configured (`sandbox.roots`): {copies}"),
            Some("HM_SANDBOX__ROOTS=auto hm run"),
        ),
        Roots::Copies { refused: Some(errno) } => (
            State::Lack,
            format!(
                "refused by the kernel ({}): {copies}",
                std::io::Error::from_raw_os_error(errno)
            ),
            Some(OVERLAY_FIX),
        ),
    };
    Finding {
        what: "overlayfs",
        state,
        is,
        fix: fix.map(str::to_owned),
    }
}

pub(super) fn ids(ids: IdMap, process: &Process) -> Finding {
    let (is, fix) = match ids {
        IdMap::Host => (
            "those of the host; user 0 is root with few capabilities".to_owned(),
            None,
        ),
        IdMap::Subordinate { count } => (format!("user 0 is you, 1 to {count} are subordinate ids"), None),
        IdMap::Single(reason) => (
            format!("only user 0, which is you with all your groups: {reason}"),
            Some(users::fix(reason, process)),
        ),
    };
    Finding {
        what: "users",
        state: if fix.is_some() { State::Lack } else { State::Ok },
        is,
        fix,
    }
}

/// Which control groups the kernel offers (cgroups(7)).
pub(super) fn control_groups() -> Finding {
    let has = |path: &str| Path::new(path).exists();
    let is = if has("/sys/fs/cgroup/cgroup.controllers") {
        "version 2"
    } else if has("/sys/fs/cgroup/unified/cgroup.controllers") {
        "version 1 and 2 side by side"
    } else if has("/sys/fs/cgroup/memory") {
        "version 1"
    } else {
        "none"
    };
    holds(
        "control groups",
        &format!("{is}; steps see none of them but the name of their own"),
    )
}

/// What holds steps to their limits.
pub(super) fn limits(means: LimitMeans, process: &Process) -> Finding {
    let weak = limits::weak(means, limits::Asked::ALL);
    if weak.is_empty() {
        return holds(
            "limits",
            "cpus, memory and pids hold for a step as a whole, by control groups",
        );
    }
    Finding {
        what: "limits",
        state: State::Lack,
        is: format!("no control group holds them: {}", weak.join("; ")),
        fix: Some(limits::fix(process)),
    }
}

pub(super) fn holds(what: &'static str, is: &str) -> Finding {
    Finding {
        what,
        state: State::Ok,
        is: is.to_owned(),
        fix: None,
    }
}

pub(super) fn off(what: &'static str, is: String, fix: &str) -> Finding {
    let (state, fix) = (State::Off, Some(fix.to_owned()));
    Finding { what, state, is, fix }
}

fn choose(what: &'static str, good: bool, well: &str, badly: &str, fix: &'static str) -> Finding {
    Finding {
        what,
        state: if good { State::Ok } else { State::Lack },
        is: if good { well } else { badly }.to_owned(),
        fix: (!good).then(|| fix.to_owned()),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { what, state, is, fix } in findings {
        // Writing to a string can't fail.
        let _done = writeln!(text, "{:<4}  {what:<17} {is}", state.word());
        if let Some(fix) = fix {
            let _done = writeln!(text, "      fix: {fix}");
        }
    }
    text
}

fn as_json(finding: &Finding) -> String {
    let Finding { what, state, is, fix } = finding;
    format!(
        "{}\n",
        json!({ "what": what, "state": state.word(), "is": is, "fix": fix })
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hm_sandbox::{LimitedBy, SingleId};

    use super::*;

    #[test]
    fn every_lack_comes_with_a_fix() {
        let confinement = Confinement {
            ids: IdMap::Single(SingleId::NoTool),
            scopes_abstract_sockets: false,
            own_keyring: true,
            host_view: false,
            roots: Roots::Copies { refused: Some(1) },
            many_layers: true,
            limits: LimitMeans {
                cpus: LimitedBy::ControlGroup2,
                memory: LimitedBy::ControlGroup2,
                pids: LimitedBy::Nothing,
            },
        };
        let process = Process {
            env: BTreeMap::new(),
            cwd: "/".into(),
        };
        let text = text(&findings(&confinement, &process));
        assert_eq!(text.matches("lack  ").count(), 4, "{text}");
        assert_eq!(text.matches("fix: ").count(), 4, "{text}");
        assert!(text.contains("fix: sudo apt-get install uidmap\n"), "{text}");
    }
}
