//! SIGINT, SIGTERM and SIGHUP ask the build to stop; a second SIGINT ends the process at once.

use std::io;

use hm_plugin_protocol::CancelReason;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that this process answers to.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    interrupted: bool,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// The build is to stop in order.
    Cancel(CancelReason),
    /// The process is to end without waiting for anything.
    Now,
}

impl Signals {
    /// From here on these signals no longer end the process by themselves.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupted: false,
        })
    }

    /// Waits for the next signal. Nothing is lost where the wait is given up.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => {
                if self.interrupted {
                    return Asked::Now;
                }
                self.interrupted = true;
                Asked::Cancel(CancelReason::Interrupt)
            }
            _ = self.terminate.recv() => Asked::Cancel(CancelReason::Terminate),
            _ = self.hang_up.recv() => Asked::Cancel(CancelReason::Terminate),
        }
    }
}
