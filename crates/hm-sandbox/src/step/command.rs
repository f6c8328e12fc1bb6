//! Finding and starting the step's command.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{Gid, Uid};

use crate::error::{SetupError, Stage};
use crate::launcher::Context;
use crate::protocol::StepPlan;
use crate::step::Confines;
use crate::sys::{ExecPlan, exec_in_new_process};

const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the command as the child of this process.
pub(super) fn start(
    context: &Context,
    plan: &StepPlan,
    confines: &Confines,
    stdio: [BorrowedFd<'_>; 3],
) -> Result<Pid, SetupError> {
    let invalid = || SetupError::new(Stage::Request, Errno::INVAL, "");
    let program = plan.argv.first().ok_or_else(invalid)?;
    let cwd = CString::new(plan.cwd.as_os_str().as_bytes()).map_err(|_| invalid())?;
    let groups: Vec<Gid> = plan.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let exec = ExecPlan {
        candidates: &candidates(program, &plan.env),
        argv: &plan.argv,
        env: &plan.env,
        cwd: &cwd,
        uid: Uid::from_raw(plan.owner.uid),
        gid: Gid::from_raw(plan.owner.gid),
        groups: context.has_other_ids().then_some(&groups),
        doors: &confines.doors,
        fallback: &confines.fallback,
        open_files: context.open_files,
        stdio,
    };
    exec_in_new_process(&context.single_thread, &exec).map_err(|(stage, errno)| {
        let path = if stage == Stage::Execute {
            PathBuf::from(OsStr::from_bytes(program.to_bytes()))
        } else if stage == Stage::WorkingDirectory {
            plan.cwd.clone()
        } else {
            PathBuf::new()
        };
        SetupError::new(stage, errno, path)
    })
}

/// The paths to try: the program itself if it has a slash, else it in each folder of `PATH`.
fn candidates(program: &CStr, env: &[CString]) -> Vec<CString> {
    if program.to_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = env
        .iter()
        .find_map(|entry| entry.to_bytes().strip_prefix(b"PATH="))
        .unwrap_or(DEFAULT_PATH);
    path.split(|byte| *byte == b':')
        .filter_map(|folder| {
            // An empty folder is the working directory.
            let folder = if folder.is_empty() { b"." } else { folder };
            CString::new([folder, b"/", program.to_bytes()].concat()).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_the_path_of_the_step() {
        let env = [c"HOME=/root".to_owned(), c"PATH=/a:/b::".to_owned()];
        assert_eq!(
            candidates(c"sh", &env),
            [c"/a/sh", c"/b/sh", c"./sh", c"./sh"].map(CStr::to_owned)
        );
        assert_eq!(candidates(c"./sh", &env), [c"./sh".to_owned()]);
        assert_eq!(candidates(c"sh", &[]).len(), 6);
    }
}
