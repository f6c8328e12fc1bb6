//! What can be seen to be wrong with a request before it is sent.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::SandboxError;
use crate::request::{ApplyRequest, LauncherSettings, Limits, Overlays, RootFs, SpawnRequest};

/// sethostname(2).
const MAX_HOSTNAME: usize = 64;

pub(super) fn settings(settings: &LauncherSettings) -> Result<(), SandboxError> {
    if let Some(view) = &settings.host_view {
        for path in [&view.dir].into_iter().chain(&view.hidden).chain(&view.expose) {
            absolute(path)?;
        }
    }
    let trial = match &settings.overlays {
        Overlays::WherePossible { trial } => Some(trial),
        Overlays::Always | Overlays::Never => None,
    };
    let named = trial.into_iter().chain(&settings.slirp4netns);
    named.into_iter().try_for_each(|path| absolute(path))
}

pub(super) fn spawn(request: &SpawnRequest) -> Result<(), SandboxError> {
    rootfs(&request.rootfs)?;
    absolute(&request.cwd)?;
    check(!request.argv.is_empty(), "the command is empty")?;
    check(
        request.hostname.len() <= MAX_HOSTNAME,
        "the host name is longer than 64 bytes",
    )?;
    check(
        !request.argv.iter().any(|arg| has_nul(arg)),
        "an argument has a NUL byte",
    )?;
    for (key, value) in &request.env {
        check(!key.is_empty(), "a variable has no name")?;
        check(
            !key.as_bytes().contains(&b'='),
            "the name of a variable has an equals sign",
        )?;
        check(!has_nul(key) && !has_nul(value), "a variable has a NUL byte")?;
    }
    let Limits {
        cpus,
        memory_bytes,
        pids,
    } = request.limits;
    check(
        cpus.is_none_or(|cpus| cpus.is_finite() && cpus > 0.0),
        "the limit of processors is not positive",
    )?;
    check(memory_bytes != Some(0), "the limit of memory is 0")?;
    check(pids != Some(0), "the limit of processes is 0")?;
    for bind in &request.binds {
        absolute(&bind.source)?;
        absolute(&bind.target)?;
    }
    Ok(())
}

pub(super) fn apply(request: &ApplyRequest) -> Result<(), SandboxError> {
    rootfs(&request.rootfs)?;
    absolute(&request.target)?;
    absolute(&request.source)
}

fn rootfs(rootfs: &RootFs) -> Result<(), SandboxError> {
    check(!rootfs.lower.is_empty() || rootfs.host_root, "there is no lower layer")?;
    for layer in &rootfs.lower {
        check(!has_nul(layer.as_os_str()), "a path has a NUL byte")?;
    }
    for path in [&rootfs.lower_base, &rootfs.upper, &rootfs.work, &rootfs.merged] {
        absolute(path)?;
    }
    Ok(())
}

pub(super) fn absolute(path: &Path) -> Result<(), SandboxError> {
    check(path.is_absolute(), "a path is not absolute")?;
    check(!has_nul(path.as_os_str()), "a path has a NUL byte")
}

fn has_nul(text: &OsStr) -> bool {
    text.as_bytes().contains(&0)
}

fn check(holds: bool, reason: &'static str) -> Result<(), SandboxError> {
    if holds {
        Ok(())
    } else {
        Err(SandboxError::InvalidRequest { reason })
    }
}
