//! Telling a running command to stop.

use std::fmt;

use tokio_util::sync::CancellationToken;

/// Tells one or more running commands to stop; clones speak of the same request.
///
/// [`StopToken::stop`] asks (SIGTERM, then after the grace SIGKILL), [`StopToken::kill`] doesn't wait for the grace.
/// Neither can be taken back.
#[derive(Clone, Default)]
pub struct StopToken {
    stop: CancellationToken,
    kill: CancellationToken,
}

impl StopToken {
    /// A token that nobody has used.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that follows this one and can be used alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            stop: self.stop.child_token(),
            kill: self.kill.child_token(),
        }
    }

    /// Asks the commands to end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends the commands at once.
    pub fn kill(&self) {
        self.stop.cancel();
        self.kill.cancel();
    }

    /// Whether a stop was asked for.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Whether the end was asked for without a grace.
    pub fn is_killed(&self) -> bool {
        self.kill.is_cancelled()
    }

    /// Returns once a stop was asked for.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Returns once the end was asked for without a grace.
    pub async fn killed(&self) {
        self.kill.cancelled().await;
    }
}

impl fmt::Debug for StopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopToken")
            .field("stopped", &self.is_stopped())
            .field("killed", &self.is_killed())
            .finish()
    }
}
