//! The order of a stop: ask, wait for the grace, kill.

use tokio::time::Instant;

use crate::machine::StopToken;

/// How far the stopping has gone.
#[derive(Clone, Copy)]
pub(crate) enum Stopping {
    Not,
    Grace { until: Instant },
    Killed,
}

/// What a command is to be told next.
pub(crate) enum Told {
    Terminate,
    Kill,
}

/// Waits until the next thing is to be told.
pub(crate) async fn next_stop(stop: &StopToken, stopping: Stopping) -> Told {
    match stopping {
        Stopping::Not => {
            stop.stopped().await;
            if stop.is_killed() { Told::Kill } else { Told::Terminate }
        }
        Stopping::Grace { until } => {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = stop.killed() => {}
            }
            Told::Kill
        }
        Stopping::Killed => std::future::pending().await,
    }
}
