//! Exit codes of the process for everything but a build's verdict, which carries its own
//! ([`hm_exec::BuildOutcome::exit_code`]).

/// How the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Did what was asked.
    Success,
    /// Usage, configuration or pipeline source error.
    Usage,
    /// The backend is not available.
    Unavailable,
    /// What was named does not exist.
    NotFound,
    /// The pipeline was rejected.
    Rejected,
    /// SIGINT before there was a build, or a second one: ended without waiting for it.
    Interrupted,
    /// SIGTERM or SIGHUP came before there was a build.
    Terminated,
    /// A build ended with this code.
    Build(u8),
}

impl Exit {
    /// The number handed to the parent process.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 2,
            Self::Unavailable => 4,
            Self::NotFound => 5,
            Self::Rejected => 7,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Build(code) => code,
        }
    }
}
