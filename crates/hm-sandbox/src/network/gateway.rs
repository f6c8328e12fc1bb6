//! A gateway as the launcher knows it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, pidfd_send_signal, waitpid};

use super::holder;
use crate::error::{SetupError, Stage, at};
use crate::launcher::Context;
use crate::protocol::{Channel, Outcome, Received, decode_outcome};
use crate::sys::{self, CloneFlags, Cloned};

/// How long slirp4netns and the maker may take. They need milliseconds.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
const SLOW: &str = "slirp4netns: it was not ready after 20 seconds";

/// A running gateway. It ends with [`Gateway::close`], or with the launcher.
#[derive(Debug)]
pub(crate) struct Gateway {
    holder: Pid,
    holder_fd: OwnedFd,
    /// To the maker.
    makes: Channel,
    ready: OwnedFd,
    /// Ends with slirp4netns and with the holder.
    alive: OwnedFd,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Starting,
    Ready { has_uplink: bool },
    Failed(SetupError),
}

impl Gateway {
    /// Starts one with this slirp4netns(1), and does not wait for it.
    pub(crate) fn start(context: &Context, slirp4netns: &Path) -> Result<Self, SetupError> {
        let failed = || at(Stage::Network, "gateway");
        let (ours, theirs) = Channel::pair().map_err(failed())?;
        let (ready, write_end) = pipe_with(PipeFlags::CLOEXEC).map_err(failed())?;
        let (alive, held) = pipe_with(PipeFlags::CLOEXEC).map_err(failed())?;
        let cloned = sys::clone_process(&context.single_thread, CloneFlags::HOLDER).map_err(failed())?;
        let (holder, holder_fd) = match cloned {
            Cloned::Child => holder::run(context, slirp4netns, theirs, &write_end, held),
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop((theirs, write_end, held));
        let gateway = Self {
            holder,
            holder_fd,
            makes: Channel::new(ours),
            ready,
            alive,
            state: State::Starting,
        };
        gateway.ask();
        Ok(gateway)
    }

    /// A namespace that nobody has had, connected and ready to be entered.
    pub(crate) fn take(&mut self) -> Result<OwnedFd, SetupError> {
        self.wait_until_ready()?;
        let made = self.receive();
        // One is always made ahead.
        self.ask();
        made
    }

    /// Whether there is a way out at all: the host may have none.
    pub(crate) fn wait_until_ready(&mut self) -> Result<bool, SetupError> {
        if let State::Starting = self.state {
            self.state = match self.read_state() {
                Ok(has_uplink) => State::Ready { has_uplink },
                Err(error) => State::Failed(error),
            };
        }
        match &self.state {
            State::Ready { has_uplink } => Ok(*has_uplink),
            State::Failed(error) => Err(error.clone()),
            State::Starting => Err(gone()),
        }
    }

    /// What is readable when a gateway that was ready has ended. One that never got ready stays as its error.
    pub(crate) fn end(&self) -> Option<&OwnedFd> {
        matches!(self.state, State::Ready { .. }).then_some(&self.alive)
    }

    /// Whether it was ready and has ended. Steps that it connected have no way out then.
    pub(crate) fn has_ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.end()
            .is_some_and(|end| poll(&mut [PollFd::new(end, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0))
    }

    /// Ends everything that the holder holds, and returns when it is gone.
    pub(crate) fn close(self) {
        let _gone = pidfd_send_signal(&self.holder_fd, Signal::KILL);
        let _reaped = rustix::io::retry_on_intr(|| waitpid(Some(self.holder), WaitOptions::empty()));
    }

    fn read_state(&self) -> Result<bool, SetupError> {
        wait_for(&self.ready, PATIENCE, SLOW)?;
        let mut buffer = [0; 4096];
        let count = rustix::io::read(&self.ready, &mut buffer).map_err(at(Stage::Network, "gateway"))?;
        match decode_outcome(buffer.get(..count).unwrap_or_default()) {
            Ok(Outcome::Code(has_uplink)) => Ok(has_uplink != 0),
            Ok(Outcome::Failed(error)) => Err(error),
            _ => Err(gone()),
        }
    }

    fn receive(&self) -> Result<OwnedFd, SetupError> {
        wait_for(&self.makes, PATIENCE, "gateway")?;
        let received = self.makes.receive().map_err(at(Stage::Network, "gateway"))?;
        let Some(Received { message, mut fds }) = received else {
            return Err(gone());
        };
        match (decode_outcome(&message), fds.pop()) {
            (Ok(Outcome::Code(0)), Some(namespace)) => Ok(namespace),
            (Ok(Outcome::Failed(error)), _) => Err(error),
            _ => Err(gone()),
        }
    }

    /// Whether it was heard shows when the answer is waited for.
    fn ask(&self) {
        let _unheard = self.makes.send(b"m", &[], false);
    }
}

/// `late` is what has not come in time.
fn wait_for(what: &impl AsFd, patience: Timespec, late: &'static str) -> Result<(), SetupError> {
    let mut fds = [PollFd::new(what, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| poll(&mut fds, Some(&patience))) {
        Ok(0) => Err(SetupError::new(Stage::Network, Errno::TIMEDOUT, late)),
        Ok(_) => Ok(()),
        Err(errno) => Err(SetupError::new(Stage::Network, errno, "gateway")),
    }
}

/// Of a step whose gateway has ended.
pub(crate) fn cut_off() -> SetupError {
    SetupError::new(
        Stage::Network,
        Errno::NOTCONN,
        "slirp4netns: it ended while the step ran",
    )
}

fn gone() -> SetupError {
    SetupError::new(Stage::Network, Errno::PIPE, "gateway")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_is_named() {
        let (silent, _open) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let error = wait_for(&silent, Timespec { tv_sec: 0, tv_nsec: 0 }, SLOW).unwrap_err();
        assert_eq!((error.errno, error.path), (Errno::TIMEDOUT, SLOW.into()));
    }
}
