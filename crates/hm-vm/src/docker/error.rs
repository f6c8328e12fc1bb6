//! What an engine can do wrong.

use std::io;

use bollard::errors::Error as EngineError;

/// What an engine's words for ENOSPC hold (errno(3), strerror(3)); its status for it is 500, as for much else.
const NO_SPACE: &str = "no space left on device";

/// Why the engine, or what is kept about it, could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The address is of a kind that this version doesn't reach.
    #[error("the address {host:?} of the engine is not of a kind that is known: unix://PATH, tcp://HOST:PORT")]
    Address {
        /// As it was given.
        host: String,
    },
    /// The engine doesn't answer.
    #[error("no engine answers at {host}")]
    Unreachable {
        /// Its address.
        host: String,
        /// What the connection said.
        #[source]
        source: Box<EngineError>,
    },
    /// The engine refused or failed.
    #[error("the engine could not {what}")]
    Engine {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        #[source]
        source: Box<EngineError>,
    },
    /// The engine's disk is full.
    #[error("the engine could not {what}: its disk is full")]
    DiskFull {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        #[source]
        source: Box<EngineError>,
    },
    /// The engine said that a container ended, but not how.
    #[error("the engine did not tell the exit code of the container")]
    NoExitCode,
    /// The engine told of an error instead of an exit code.
    #[error("the engine lost the container: {message}")]
    Lost {
        /// Its words.
        message: String,
    },
    /// The engine ended the output before the command.
    #[error("the output of the container can't be read")]
    Output {
        /// What the connection said.
        #[source]
        source: Box<EngineError>,
    },
    /// This kind of image is for other backends.
    #[error(
        "the docker backend can't boot {image:?}: it takes images that its engine has or can pull, such as debian:12"
    )]
    ImageKind {
        /// As the pipeline names it.
        image: String,
    },
    /// The engine's answer lacks something.
    #[error("the engine did not tell {what}")]
    Answer {
        /// What is missing.
        what: &'static str,
    },
    /// A folder's files could not be sent or read back.
    #[error("can't {what}")]
    Files {
        /// What was being done.
        what: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// What is kept about a snapshot can't be read.
    #[error("the record of a snapshot is damaged")]
    Record(#[source] serde_json::Error),
    /// The command that removes files from a workspace failed.
    #[error("files of the workspace could not be removed (exit code {exit}): {said}")]
    Removal {
        /// Its exit code.
        exit: i32,
        /// What it wrote.
        said: String,
    },
    /// The store failed.
    #[error("the store could not {what}")]
    Store {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl DockerError {
    pub(crate) fn engine(what: &'static str) -> impl FnOnce(EngineError) -> Self {
        move |source| {
            let is_full = source.to_string().contains(NO_SPACE);
            let source = Box::new(source);
            if is_full {
                Self::DiskFull { what, source }
            } else {
                Self::Engine { what, source }
            }
        }
    }

    /// What the engine said; nothing where it refused nothing.
    pub(super) fn words(&self) -> String {
        if let Self::Engine { source, .. } = self {
            source.to_string()
        } else {
            String::new()
        }
    }

    /// Whether a registry wants the engine to prove who asks, or did not take the proof.
    pub(super) fn is_refused_login(&self) -> bool {
        let words = self.words().to_lowercase();
        // Docker's and Podman's words, and the registry's own (distribution specification, "Error Codes").
        let known = [
            "no basic auth credentials",
            "unauthorized",
            "authentication required",
            "access denied",
        ];
        known.iter().any(|known| words.contains(known))
    }

    /// What helps, where that is known.
    pub(crate) fn fix(&self) -> Option<String> {
        let is_full = matches!(self, Self::DiskFull { .. });
        is_full.then(|| "make room on the engine's disk: docker system df; docker system prune".to_owned())
    }

    pub(crate) fn files(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Files { what, source }
    }

    pub(super) fn store<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Store {
            what,
            source: Box::new(source),
        }
    }

    /// The HTTP status of the engine's refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        if let Self::Engine { source, .. } = self {
            status(source)
        } else {
            None
        }
    }
}

/// The HTTP status of the engine's refusal (Engine API, "Errors").
pub(super) fn status(error: &EngineError) -> Option<u16> {
    if let EngineError::DockerResponseServerError { status_code, .. } = error {
        Some(*status_code)
    } else {
        None
    }
}
