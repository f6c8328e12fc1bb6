//! Stopping a build and waiting for it.

use hm_plugin_protocol::CancelReason;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::outcome::{BuildError, BuildOutcome};

/// Stops a build and waits for its end. Dropped without waiting, it takes the build down with it, not gracefully.
#[derive(Debug)]
pub struct Control {
    canceller: Canceller,
    build: JoinSet<Result<BuildOutcome, BuildError>>,
}

/// Stops a build. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Canceller {
    reasons: mpsc::UnboundedSender<CancelReason>,
    token: CancellationToken,
}

/// The build's end of a [`Control`], for backends.
#[derive(Debug)]
pub struct ControlEnd {
    reasons: mpsc::UnboundedReceiver<CancelReason>,
    token: CancellationToken,
    token_heard: bool,
}

/// Both ends, for backends.
pub fn control() -> (Control, ControlEnd) {
    let (sender, reasons) = mpsc::unbounded_channel();
    let token = CancellationToken::new();
    let canceller = Canceller {
        reasons: sender,
        token: token.clone(),
    };
    (
        Control {
            canceller,
            build: JoinSet::new(),
        },
        ControlEnd {
            reasons,
            token,
            token_heard: false,
        },
    )
}

impl Control {
    /// For backends: starts the build.
    pub fn run(&mut self, build: impl Future<Output = Result<BuildOutcome, BuildError>> + Send + 'static) {
        self.build.spawn(build);
    }

    /// A token that stops the build as [`CancelReason::Interrupt`] when it is cancelled.
    pub fn cancel_token(&self) -> CancellationToken {
        self.canceller.token.clone()
    }

    /// Stops the build. Only a reason greater than those before does something, and none does after the end.
    pub fn cancel(&self, reason: CancelReason) {
        self.canceller.cancel(reason);
    }

    /// For those who stop the build while somebody else waits for it.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Waits for the end. Then nothing of the build is left running. May be dropped and called again; the end is given
    /// out once.
    pub async fn wait(&mut self) -> Result<BuildOutcome, BuildError> {
        match self.build.join_next().await {
            Some(Ok(end)) => end,
            Some(Err(died)) => Err(BuildError::Dispatcher(died.into())),
            None => Err(BuildError::AlreadyWaited),
        }
    }
}

impl ControlEnd {
    /// The next reason to stop. Waits for ever where nobody can give one any more. May be dropped and called again.
    pub async fn next_reason(&mut self) -> CancelReason {
        tokio::select! {
            Some(reason) = self.reasons.recv() => reason,
            () = self.token.cancelled(), if !self.token_heard => {
                self.token_heard = true;
                CancelReason::Interrupt
            }
            else => std::future::pending().await,
        }
    }
}

impl Canceller {
    /// Stops the build, see [`Control::cancel`].
    pub fn cancel(&self, reason: CancelReason) {
        // A build that is over no longer listens, and there is nothing to stop.
        self.reasons.send(reason).unwrap_or_default();
    }
}
