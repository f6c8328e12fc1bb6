//! The boundary.

use std::fmt::Debug;

use async_trait::async_trait;
use hm_plugin_protocol::CancelReason;

use super::capabilities::Capabilities;
use super::control::Control;
use super::events::EventStream;
use super::outcome::StartError;
use super::preflight::Objection;
use super::request::RunRequest;

/// Runs whole builds.
#[async_trait]
pub trait ExecutionBackend: Send + Sync + Debug {
    /// A word that names the backend in settings and messages.
    fn name(&self) -> &str;

    /// What it offers. Asked before [`ExecutionBackend::start`], so that flags it can't honour are refused by name.
    fn capabilities(&self) -> Capabilities;

    /// Starts a build. What keeps it from starting is an error; from then on, how it ends is a
    /// [`super::BuildOutcome`].
    async fn start(&self, request: RunRequest) -> Result<BackendHandle, StartError>;
}

/// A build that runs.
#[derive(Debug)]
pub struct BackendHandle {
    events: EventStream,
    control: Control,
    warnings: Vec<Objection>,
    notes: Vec<String>,
}

impl BackendHandle {
    /// For backends.
    pub fn new(events: EventStream, control: Control, warnings: Vec<Objection>, notes: Vec<String>) -> Self {
        Self {
            events,
            control,
            warnings,
            notes,
        }
    }

    /// What the pipeline asks for that the build goes without.
    pub fn warnings(&self) -> &[Objection] {
        &self.warnings
    }

    /// What there is to say about the build before it begins, such as files that were left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Stops the build, see [`Control::cancel`].
    pub fn cancel(&self, reason: CancelReason) {
        self.control.cancel(reason);
    }

    /// The events, and the control over the build.
    pub fn into_parts(self) -> (EventStream, Control) {
        (self.events, self.control)
    }
}
