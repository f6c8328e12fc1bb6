//! What this machine can do for builds.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use hm_sandbox::{Confinement, Roots, SandboxError};

use super::doctor::{
    Finding, NAMESPACE_FIXES, OVERLAY_FIX, State, control_groups, existing, holds, ids, limits, off, roots,
};
use crate::network;
use crate::process::Process;

/// The oldest kernel that the sandbox works on.
const OLDEST_KERNEL: (u32, u32) = (5, 12);
/// Less free space than this is soon used up.
const ENOUGH_SPACE: u64 = 5 << 30;
const GIB: u64 = 1 << 30;

/// All of it; `sandbox` is what came of starting one, and `engine` of asking Docker's.
pub(super) fn findings(
    sandbox: Result<Confinement, SandboxError>,
    engine: Finding,
    store: &Path,
    process: &Process,
) -> Vec<Finding> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut found = vec![kernel(&release), overlay(&file_systems, &sandbox)];
    found.extend(namespaces(sandbox, process));
    found.extend([
        control_groups(),
        limits(hm_sandbox::limit_means(), process),
        network(process),
        engine,
        kvm(),
        disk(store),
    ]);
    found.push(runtime(
        "python",
        "python3",
        "pipelines in Python",
        "sudo apt-get install python3",
        process,
    ));
    found.push(runtime(
        "node",
        "node",
        "pipelines in TypeScript that need npm packages",
        "https://nodejs.org",
        process,
    ));
    found
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = OLDEST_KERNEL;
    let fix = (version < OLDEST_KERNEL).then(|| format!("use Linux {major}.{minor} or later"));
    lack_where_fixed("kernel", release.to_owned(), fix)
}

/// A module that isn't loaded yet is loaded by the first mount.
fn overlay(file_systems: &str, sandbox: &Result<Confinement, SandboxError>) -> Finding {
    let refused = |is: String, fix: &str| lack_where_fixed("overlayfs", is, Some(fix.to_owned()));
    match sandbox {
        Ok(confinement) if confinement.roots != Roots::Overlays => return roots(confinement.roots),
        Err(error) => {
            if let Some(fix) = error.fix() {
                return refused(error.to_string(), fix);
            }
        }
        Ok(_) => {}
    }
    let is_there = file_systems
        .lines()
        .any(|line| line.trim_start_matches("nodev").trim() == "overlay");
    let module = Command::new("modinfo")
        .arg("overlay")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let can_come = is_there || module.is_ok_and(|status| status.success());
    let is = if can_come { "there" } else { "not in this kernel" };
    let fix = (!can_come).then(|| OVERLAY_FIX.to_owned());
    lack_where_fixed("overlayfs", is.to_owned(), fix)
}

fn namespaces(sandbox: Result<Confinement, SandboxError>, process: &Process) -> Vec<Finding> {
    match sandbox {
        Ok(confinement) => vec![holds("namespaces", "there"), ids(confinement.ids, process)],
        // What it lacks is told as that.
        Err(error) if error.fix().is_some() => vec![holds("namespaces", "there")],
        Err(error) => NAMESPACE_FIXES
            .into_iter()
            .map(|fix| lack_where_fixed("namespaces", format!("refused: {error}"), Some(fix.to_owned())))
            .collect(),
    }
}

fn network(process: &Process) -> Finding {
    match network::isolated(process) {
        Ok(helper) => holds("isolated network", &helper.display().to_string()),
        Err(lack) => lack_where_fixed("isolated network", lack.what.to_owned(), Some(lack.fix.to_owned())),
    }
}

fn kvm() -> Finding {
    match File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_opens) => holds("KVM", "there"),
        Err(error) => off(
            "KVM",
            format!("/dev/kvm: {error}; nothing needs it yet"),
            "sudo usermod -aG kvm $USER",
        ),
    }
}

fn disk(store: &Path) -> Finding {
    let existing = existing(store);
    let Ok(stat) = rustix::fs::statvfs(existing) else {
        return lack_where_fixed("disk", format!("{} can't be looked at", existing.display()), None);
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let is = format!("{} GiB free for {}", free / GIB, store.display());
    let fix = (free < ENOUGH_SPACE).then(|| "HM_STORE__DIR=/a/larger/disk hm run".to_owned());
    lack_where_fixed("disk", is, fix)
}

/// A program that some pipelines are evaluated with.
fn runtime(what: &'static str, name: &str, needed_for: &str, fix: &str, process: &Process) -> Finding {
    let version = process.program(name).and_then(|path| {
        let said = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        said.status.success().then(|| format!("{version}, {}", path.display()))
    });
    match version {
        Some(version) => holds(what, &version),
        None => off(what, format!("no {name}; only {needed_for} need it"), fix),
    }
}

fn lack_where_fixed(what: &'static str, is: String, fix: Option<String>) -> Finding {
    let state = if fix.is_some() { State::Lack } else { State::Ok };
    Finding { what, state, is, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_are_a_lack() {
        for (release, state) in [
            ("6.1.0-30-amd64", State::Ok),
            ("5.12", State::Ok),
            ("5.4.0-1", State::Lack),
            ("odd", State::Lack),
        ] {
            assert_eq!(kernel(release).state, state, "{release}");
        }
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_a_lack() {
        // It has no space at all.
        assert_eq!(disk(Path::new("/proc/none")).state, State::Lack);
    }

    #[test]
    fn what_is_not_in_the_path_is_off_and_says_who_needs_it() {
        let process = Process {
            env: std::collections::BTreeMap::new(),
            cwd: "/".into(),
        };
        let found = runtime("python", "python3", "pipelines in Python", "install it", &process);
        assert_eq!(
            (found.state, found.is.as_str()),
            (State::Off, "no python3; only pipelines in Python need it")
        );
    }
}
