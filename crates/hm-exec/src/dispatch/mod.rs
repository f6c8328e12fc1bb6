//! Carrying out what the build's state decides.

mod clock;
mod dispatcher;
mod event_log;
mod step_output;
mod step_task;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use clock::BuildClock;
pub(crate) use dispatcher::{Dispatcher, DispatcherParts, Ran};
pub(crate) use event_log::EventLog;
