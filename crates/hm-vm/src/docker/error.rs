//! What an engine can do wrong.

use std::error::Error;
use std::io;

use bollard::errors::Error as EngineError;

use super::ssh::SshError;
use super::tls::CertificateFileError;

/// What an engine's words for ENOSPC hold (errno(3), strerror(3)); its status for it is 500, as for much else.
const NO_SPACE: &str = "no space left on device";

/// Why the engine, or what is kept about it, could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The address is of a kind that this version doesn't reach.
    #[error(
        "the address {host:?} of the engine is not of a kind that is known: unix://PATH, tcp://HOST:PORT, ssh://USER@HOST"
    )]
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
    /// The files for TLS can't be used.
    #[error("the certificates for TLS with the engine can't be used")]
    Certificates(#[from] CertificateFileError),
    /// The two sides don't accept each other.
    #[error("TLS with the engine at {host} failed: {why}")]
    Tls {
        /// Its address.
        host: String,
        /// In words.
        why: String,
        /// What helps.
        fix: String,
        /// What the connection said.
        #[source]
        source: Box<EngineError>,
    },
    /// It speaks TLS only.
    #[error("the engine at {host} wants TLS")]
    WantsTls {
        /// Its address.
        host: String,
    },
    /// There is no way to the engine by ssh.
    #[error("the engine at {host} can't be reached")]
    Ssh {
        /// Its address.
        host: String,
        /// What helps.
        fix: String,
        /// What ssh said.
        #[source]
        source: SshError,
    },
    /// The ssh that leads to the engine ended in the midst of something.
    #[error("the engine could not {what}: the ssh that leads to it ended")]
    SshEnded {
        /// What it was asked to do.
        what: &'static str,
        /// How ssh ended.
        #[source]
        source: SshError,
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
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DockerError {
    pub(crate) fn engine(what: &'static str) -> impl FnOnce(EngineError) -> Self {
        move |source| {
            if let Some(ended) = find::<SshError>(&source) {
                let source = ended.clone();
                return Self::SshEnded { what, source };
            }
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
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::DiskFull { .. } => {
                Some("make room on the engine's disk: docker system df; docker system prune".to_owned())
            }
            Self::Certificates(_) => Some(
                "name the folder of ca.pem, and of cert.pem and key.pem where the engine asks for them: \
                 DOCKER_CERT_PATH=/some/folder"
                    .to_owned(),
            ),
            Self::WantsTls { .. } => Some(
                "set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder of ca.pem, cert.pem and key.pem"
                    .to_owned(),
            ),
            Self::Tls { fix, .. } | Self::Ssh { fix, .. } => Some(fix.clone()),
            Self::SshEnded { source, .. } => Some(source.fix()),
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Engine { .. }
            | Self::NoExitCode
            | Self::Lost { .. }
            | Self::ImageKind { .. }
            | Self::Answer { .. }
            | Self::Files { .. }
            | Self::Record(_)
            | Self::Removal { .. }
            | Self::Store { .. } => None,
        }
    }

    pub(crate) fn files(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Files { what, source }
    }

    pub(super) fn store<E: Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
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

/// The first error of this kind among an error and those that it comes from.
pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = below(error);
    }
    None
}

/// What an error comes from, also where its `source` leaves that out.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref() {
        Some(EngineError::IOError { err }) => return Some(err),
        Some(EngineError::HyperLegacyError { err }) => return Some(err),
        _ => {}
    }
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped))
}

/// The HTTP status of the engine's refusal (Engine API, "Errors").
pub(super) fn status(error: &EngineError) -> Option<u16> {
    if let EngineError::DockerResponseServerError { status_code, .. } = error {
        Some(*status_code)
    } else {
        None
    }
}
