//! `hm doctor`: what holds on this host, and what to do about what does not.

use std::fmt::Write as _;
use std::path::Path;

use hm_sandbox::{Confinement, IdMap, Launcher, LauncherSettings, SandboxError};

use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::process::Process;
use crate::users;

/// One line of the report.
struct Finding {
    what: &'static str,
    /// How it is.
    is: String,
    /// What would make it better; `None`: it is as it should be.
    fix: Option<String>,
}

/// Starts a launcher as a build would, and tells what it found. Lacks that only weaken something are no failure.
pub(crate) fn doctor(process: &Process) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::from_error("runtime_unavailable", Exit::Unavailable, &error))?;
    let confinement = runtime.block_on(ask()).map_err(|error| {
        CliError::from_error("sandbox_unavailable", Exit::Unavailable, &error)
            .fix("sysctl user.max_user_namespaces=15000   # as root, if it is 0")
            .fix("sysctl kernel.apparmor_restrict_unprivileged_userns=0   # as root, on Ubuntu 24.04 and later")
    })?;
    output::result(&text(&findings(&confinement, process)))?;
    Ok(Exit::Success)
}

async fn ask() -> Result<Confinement, SandboxError> {
    let launcher = Launcher::start(LauncherSettings::default()).await?;
    let confinement = launcher.confinement();
    launcher.close().await?;
    Ok(confinement)
}

fn findings(confinement: &Confinement, process: &Process) -> Vec<Finding> {
    vec![
        holds("namespaces", "mount, PID, UTS, IPC; network where a step asks for none"),
        ids(confinement.ids, process),
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
    ]
}

fn ids(ids: IdMap, process: &Process) -> Finding {
    let (is, fix) = match ids {
        IdMap::Host => (
            "those of the host; user 0 is root with few capabilities".to_owned(),
            None,
        ),
        IdMap::Subordinate { count } => (format!("user 0 is you, 1 to {count} are subordinate ids"), None),
        IdMap::Single(reason) => (
            format!("only user 0, which is you: {reason}"),
            Some(users::fix(reason, process)),
        ),
    };
    Finding { what: "users", is, fix }
}

/// Which control groups the kernel offers (cgroups(7)).
fn control_groups() -> Finding {
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
    holds("control groups", &format!("{is}; steps see none of them"))
}

fn holds(what: &'static str, is: &str) -> Finding {
    Finding {
        what,
        is: is.to_owned(),
        fix: None,
    }
}

fn choose(what: &'static str, good: bool, well: &str, badly: &str, fix: &'static str) -> Finding {
    Finding {
        what,
        is: if good { well } else { badly }.to_owned(),
        fix: (!good).then(|| fix.to_owned()),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { what, is, fix } in findings {
        let mark = if fix.is_none() { "ok  " } else { "lack" };
        // Writing to a string can't fail.
        let _done = writeln!(text, "{mark}  {what:<17} {is}");
        if let Some(fix) = fix {
            let _done = writeln!(text, "      fix: {fix}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hm_sandbox::SingleId;

    use super::*;

    #[test]
    fn every_lack_comes_with_a_fix() {
        let confinement = Confinement {
            ids: IdMap::Single(SingleId::NoTool),
            scopes_abstract_sockets: false,
            own_keyring: true,
            host_view: false,
        };
        let process = Process {
            env: BTreeMap::new(),
            cwd: "/".into(),
        };
        let text = text(&findings(&confinement, &process));
        assert_eq!(text.matches("lack  ").count(), 2, "{text}");
        assert_eq!(text.matches("fix: ").count(), 2, "{text}");
        assert!(text.contains("fix: sudo apt-get install uidmap\n"), "{text}");
    }
}
