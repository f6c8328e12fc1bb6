//! The life of PID 1, from clone3(2) to its report.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::limits::Fallback;
use crate::protocol::{Outcome, StepPlan, encode_outcome};
use crate::request::{ExitStatus, Network};
use crate::step::{command, confine, init, root};
use crate::sys;

/// What the launcher made for one step.
#[derive(Debug)]
pub(crate) struct Confines {
    /// The network namespace, where it is none that the clone made.
    pub(crate) network: Option<OwnedFd>,
    /// The `cgroup.procs` of the groups that the command joins.
    pub(crate) doors: Vec<OwnedFd>,
    pub(crate) fallback: Fallback,
}

/// Runs a step in this freshly cloned process and ends it.
pub(crate) fn run(context: &Context, body: &[u8], fds: &[OwnedFd], confines: &Confines, report: &OwnedFd) -> ! {
    report_and_exit(report, || {
        if let Some(network) = &confines.network {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(at(Stage::Network, ""))?;
        }
        tie_to_launcher(context, fds.iter().chain(&confines.doors).chain([report]))?;
        match run_step(context, body, fds, confines, report)? {
            ExitStatus::Code(code) => Ok(Outcome::Code(code)),
            ExitStatus::Signal(signal) => Ok(Outcome::Signal(signal)),
        }
    })
}

/// Does the work of a cloned process, sends its outcome to the launcher and ends the process.
pub(crate) fn report_and_exit(report: &OwnedFd, work: impl FnOnce() -> Result<Outcome, SetupError>) -> ! {
    let outcome = match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failed(error),
        Err(_panic) => Outcome::Failed(SetupError::new(Stage::Request, Errno::IO, "")),
    };
    let mut bytes: &[u8] = &encode_outcome(&outcome);
    while let Ok(written @ 1..) = rustix::io::retry_on_intr(|| rustix::io::write(report, bytes)) {
        bytes = bytes.get(written..).unwrap_or_default();
    }
    sys::exit_now(0)
}

/// Makes the process die with the launcher, and closes every descriptor but standard input and `keep`.
pub(crate) fn tie_to_launcher<'a>(
    context: &Context,
    keep: impl Iterator<Item = &'a OwnedFd>,
) -> Result<(), SetupError> {
    let failed = || at(Stage::Namespaces, "");
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed())?;
    // The launcher may have died before that call, and its parent id can't be asked for across a PID namespace.
    let mut launcher = [PollFd::new(&context.launcher, PollFlags::IN)];
    if poll(&mut launcher, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(failed())? > 0 {
        sys::exit_now(0);
    }
    let keep: Vec<_> = keep
        .map(AsRawFd::as_raw_fd)
        .chain([rustix::stdio::stdin().as_raw_fd()])
        .collect();
    sys::close_all_except(&keep).map_err(failed())
}

fn run_step(
    context: &Context,
    body: &[u8],
    fds: &[OwnedFd],
    confines: &Confines,
    report: &OwnedFd,
) -> Result<ExitStatus, SetupError> {
    let invalid = || SetupError::new(Stage::Request, Errno::INVAL, "");
    let plan = StepPlan::decode(body).map_err(|_| invalid())?;
    let stdio = match (plan.has_stdin, fds) {
        (true, [stdin, stdout, stderr]) => [stdin, stdout, stderr].map(AsFd::as_fd),
        (false, [stdout, stderr]) => [rustix::stdio::stdin(), stdout.as_fd(), stderr.as_fd()],
        _ => return Err(invalid()),
    };
    rustix::process::umask(Mode::empty());
    root::enter(context, &plan)?;
    rustix::system::sethostname(&plan.hostname).map_err(at(Stage::Hostname, ""))?;
    if plan.network == Network::None {
        sys::bring_loopback_up().map_err(at(Stage::Loopback, ""))?;
    }
    give_streams_to_user(&plan, stdio)?;
    confine::drop_privileges()?;
    // Nobody inside may trace this process or look at its memory and descriptors.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at(Stage::Confine, ""))?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    confine::close_kernel(context, plan.network)?;
    let child = command::start(context, &plan, confines, stdio)?;
    // Only the command holds its streams from here on, so that they end with it.
    sys::close_all_except(&[report.as_raw_fd()]).map_err(at(Stage::Stdio, ""))?;
    init::supervise(child).map_err(at(Stage::Wait, ""))
}

/// A user other than root could not open `/dev/stdout`, which is a pipe of whoever started the step.
fn give_streams_to_user(plan: &StepPlan, stdio: [BorrowedFd<'_>; 3]) -> Result<(), SetupError> {
    if plan.owner.uid == 0 {
        return Ok(());
    }
    let failed = || at(Stage::Stdio, "");
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(plan.owner.uid),
        rustix::fs::Gid::from_raw(plan.owner.gid),
    );
    for stream in stdio {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(stream).map_err(failed())?.st_mode);
        if matches!(kind, FileType::Fifo | FileType::Socket) {
            match rustix::fs::fchown(stream, Some(uid), Some(gid)) {
                // The user is not in this user namespace: that is found, and told, when it is taken on.
                Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
                Err(errno) => return Err(failed()(errno)),
            }
        }
    }
    Ok(())
}
