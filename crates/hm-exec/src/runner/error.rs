//! Why a runner did not bring a step to its own end.

use std::error::Error;

use hm_vm::{HmVmError, VmError};

/// Why a runner did not bring a step to its own end. A command that fails is a result and not one of these.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It was told to stop and did; nothing of the step is left running.
    #[error("the step was told to stop")]
    Stopped,
    /// The runner could not do its job.
    #[error(transparent)]
    Engine(Box<dyn Error + Send + Sync>),
}

impl StepError {
    /// The runner could not do its job.
    pub fn engine(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Engine(source.into())
    }

    /// What helps, where that is known.
    pub fn fixes(&self) -> Vec<String> {
        let Self::Engine(error) = self else { return Vec::new() };
        let of_machine = match error.downcast_ref::<HmVmError>() {
            Some(HmVmError::Vm(error)) => Some(error),
            _ => error.downcast_ref::<VmError>(),
        };
        of_machine.and_then(VmError::fix).into_iter().collect()
    }
}

/// The texts of an error and all its sources, outermost first. A source that only repeats its error is left out.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts
}
