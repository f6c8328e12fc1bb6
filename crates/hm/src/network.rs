//! Which network steps have that name none, and what connects an isolated one.

use std::fs;
use std::path::{Path, PathBuf};

use hm_config::SandboxNetwork;
use hm_vm::Network;

use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::process::Process;

const TUN: &str = "/dev/net/tun";
const INSTALL: &str = "apt-get install slirp4netns";

/// The networks of the sandbox.
#[derive(Debug)]
pub(crate) struct Networks {
    /// Of steps that name none.
    pub(crate) default: Network,
    /// Connects isolated ones, or why there are none.
    pub(crate) slirp4netns: Result<PathBuf, Lack>,
}

impl Networks {
    /// What is configured, else isolated where that can be had, else the host's with a note.
    ///
    /// It is decided before any step is looked up, and nothing falls back later: the network is part of cache keys.
    pub(crate) fn choose(configured: Option<SandboxNetwork>, process: &Process) -> Result<Self, CliError> {
        let found = isolated(process);
        let default = match (configured, &found) {
            (Some(SandboxNetwork::Host), _) => Network::Host,
            (Some(SandboxNetwork::None), _) => Network::None,
            (Some(SandboxNetwork::Isolated) | None, Ok(_)) => Network::Isolated,
            (Some(SandboxNetwork::Isolated), Err(lack)) => return Err(unavailable(lack)),
            (None, Err(lack)) => {
                output::note(&format!(
                    "note: steps share this machine's network: {}; {}",
                    lack.what, lack.fix
                ));
                Network::Host
            }
        };
        Ok(Self {
            default,
            slirp4netns: found,
        })
    }
}

/// Why there is no isolated network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) what: &'static str,
    pub(crate) fix: &'static str,
}

/// slirp4netns(1), if it is there and may be used.
pub(crate) fn isolated(process: &Process) -> Result<PathBuf, Lack> {
    with_driver(process, Path::new(TUN))
}

fn with_driver(process: &Process, tun: &Path) -> Result<PathBuf, Lack> {
    let slirp4netns = process.program("slirp4netns").ok_or(Lack {
        what: "slirp4netns, which gives them one of their own, is not installed",
        fix: INSTALL,
    })?;
    match fs::File::options().read(true).write(true).open(tun) {
        Ok(_driver) => Ok(slirp4netns),
        Err(_) => Err(Lack {
            what: "/dev/net/tun, which slirp4netns needs to give them one of their own, can't be opened",
            fix: "modprobe tun && chmod 666 /dev/net/tun   # as root",
        }),
    }
}

fn unavailable(lack: &Lack) -> CliError {
    CliError::new(
        "network_unavailable",
        Exit::Unavailable,
        "steps can't have an isolated network",
    )
    .cause("`sandbox.network` is \"isolated\"")
    .cause(lack.what)
    .fix(lack.fix)
    .fix("HM_SANDBOX__NETWORK=host hm run")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn slirp4netns_is_found_on_the_path_and_needs_the_driver() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process {
            env: [("PATH".to_owned(), format!("relative:{}", folder.path().display()))].into(),
            cwd: PathBuf::from("/"),
        };
        let driver = Path::new("/dev/null");
        assert_eq!(with_driver(&process, driver).unwrap_err().fix, INSTALL);
        let slirp4netns = folder.path().join("slirp4netns");
        fs::write(&slirp4netns, "").unwrap();
        assert_eq!(
            with_driver(&process, driver).unwrap_err().fix,
            INSTALL,
            "it can't be executed"
        );
        fs::set_permissions(&slirp4netns, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(with_driver(&process, driver).unwrap(), slirp4netns);
        let lack = with_driver(&process, Path::new("/dev/no/tun")).unwrap_err();
        assert!(
            lack.what.contains("/dev/net/tun") && lack.fix.starts_with("modprobe tun"),
            "{lack:?}"
        );
    }
}
