//! Who mounts the roots of an ordinary user's steps.

use std::path::PathBuf;

use hm_config::SandboxOverlay;
use hm_vm::FuseOverlayfs;

use crate::error::CliError;
use crate::exit::Exit;
use crate::process::Process;

const INSTALL: &str = "apt-get install fuse-overlayfs";

/// Told before a build whose roots fuse-overlayfs mounts.
pub(crate) const NOTE: &str = "note: fuse-overlayfs mounts the roots of steps (`sandbox.overlay`). Version 1.10 shows what was \
                               removed again where a folder is removed, made again and then renamed; results are kept apart";

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
        // Without a program the kernel's refusal is told before the first step.
        SandboxOverlay::Kernel => Ok(FuseOverlayfs::IfRefused(None)),
        SandboxOverlay::Fuse if is_root => {
            Err(unavailable("it is for ordinary users").fix("HM_SANDBOX__OVERLAY=kernel hm run"))
        }
        SandboxOverlay::Fuse => program
            .map(FuseOverlayfs::Always)
            .ok_or_else(|| unavailable("fuse-overlayfs is not installed").fix(INSTALL)),
    }
}

/// The word for the sandbox's platform in cache keys: what fuse-overlayfs shows is not always what the kernel does.
pub(crate) fn platform(overlays: &FuseOverlayfs) -> String {
    let machine = format!("linux/{}", std::env::consts::ARCH);
    match overlays {
        FuseOverlayfs::Always(_) => format!("fuse-overlayfs:{machine}"),
        FuseOverlayfs::IfRefused(_) | FuseOverlayfs::Never => machine,
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
    fn fuse_overlayfs_is_used_where_it_is_asked_for_only() {
        let program = || Some(PathBuf::from("/usr/bin/fuse-overlayfs"));
        let chosen = |configured, program| choose_for(configured, program, false).unwrap();
        assert_eq!(
            chosen(SandboxOverlay::Kernel, program()),
            FuseOverlayfs::IfRefused(None)
        );
        assert_eq!(
            chosen(SandboxOverlay::Fuse, program()),
            FuseOverlayfs::Always("/usr/bin/fuse-overlayfs".into())
        );
    }

    #[test]
    fn results_of_fuse_overlayfs_are_kept_apart() {
        let kernel = platform(&FuseOverlayfs::IfRefused(None));
        assert_eq!(platform(&FuseOverlayfs::Never), kernel);
        assert_ne!(platform(&FuseOverlayfs::Always("/f".into())), kernel);
    }

    #[test]
    fn what_can_not_be_had_is_an_error() {
        assert!(choose_for(SandboxOverlay::Fuse, None, false).is_err());
        assert!(choose_for(SandboxOverlay::Fuse, Some("/f".into()), true).is_err());
    }
}
