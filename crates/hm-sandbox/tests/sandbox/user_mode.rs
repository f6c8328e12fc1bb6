//! Linux as a process: Debian's package user-mode-linux, 6.1 in Debian 12.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LINUX: &str = "/usr/bin/linux.uml";
const MODULES: &str = "/usr/lib/uml/modules";

/// A module of that kernel; `None` where it is not installed.
pub(crate) fn module(path: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(MODULES).into_iter().flatten().flatten();
    let found = versions
        .map(|version| version.path().join(path))
        .find(|module| module.exists());
    found.filter(|_| Path::new(LINUX).exists())
}

/// Boots it and gives back what came on its console. `folder` has room for its memory.
pub(crate) fn boot(folder: &Path, arguments: &[String]) -> String {
    // Without a limit of time a kernel that stops would stop the test.
    let output = Command::new("timeout")
        .args(["500", LINUX, "mem=1000M", "quiet", "con=null", "con0=fd:0,fd:1"])
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
