//! Who mounts the roots of an ordinary user's steps.

use std::path::PathBuf;

use hm_config::SandboxOverlay;
use hm_vm::FuseOverlayfs;

use crate::error::CliError;
use crate::exit::Exit;
use crate::process::Process;

const INSTALL: &str = "apt-get install fuse-overlayfs";

/// What is configured, with the program from the `PATH`.
pub(crate) fn choose(configured: SandboxOverlay, process: &Process) -> Result<FuseOverlayfs, CliError> {
    choose_for(
        configured,
        process.program("fuse-overlayfs"),
        rustix::process::geteuid().is_root(),
    )
}

fn choose_for(configured: SandboxOverlay, program: Option<PathBuf>, is_root: bool) -> Result<FuseOverlayfs, CliError> {
    match configured {
        SandboxOverlay::Kernel => Ok(FuseOverlayfs::Never),
        SandboxOverlay::Auto => Ok(FuseOverlayfs::IfRefused(program)),
        SandboxOverlay::Fuse if is_root => {
            Err(unavailable("it is for ordinary users").fix("HM_SANDBOX__OVERLAY=auto hm run"))
        }
        SandboxOverlay::Fuse => program
            .map(FuseOverlayfs::Always)
            .ok_or_else(|| unavailable("fuse-overlayfs is not installed").fix(INSTALL)),
    }
}

fn unavailable(cause: &str) -> CliError {
    CliError::new(
        "overlay_unavailable",
        Exit::Unavailable,
        "fuse-overlayfs can't mount the roots of steps",
    )
    .cause("`sandbox.overlay` is \"fuse\"")
    .cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuse_overlayfs_is_used_where_it_is_asked_for_or_needed() {
        let program = || Some(PathBuf::from("/usr/bin/fuse-overlayfs"));
        let chosen = |configured, program| choose_for(configured, program, false).unwrap();
        assert_eq!(chosen(SandboxOverlay::Auto, None), FuseOverlayfs::IfRefused(None));
        assert_eq!(
            chosen(SandboxOverlay::Auto, program()),
            FuseOverlayfs::IfRefused(program())
        );
        assert_eq!(chosen(SandboxOverlay::Kernel, program()), FuseOverlayfs::Never);
        assert_eq!(
            chosen(SandboxOverlay::Fuse, program()),
            FuseOverlayfs::Always("/usr/bin/fuse-overlayfs".into())
        );
    }

    #[test]
    fn what_can_not_be_had_is_an_error() {
        assert!(choose_for(SandboxOverlay::Fuse, None, false).is_err());
        assert!(choose_for(SandboxOverlay::Fuse, Some("/f".into()), true).is_err());
    }
}
