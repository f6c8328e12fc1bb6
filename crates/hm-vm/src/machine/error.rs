//! Why a backend could not do its job.

use std::error::Error;
use std::sync::Arc;

use hm_plugin_protocol::SnapshotRef;
use hm_sandbox::SandboxError;

use super::Network;
use crate::docker::DockerError;
use crate::user::UserProblem;

/// The error of a backend's own layers, kept whole. Shared, so that the error of one look-up can be given to all who
/// waited for it.
pub type SharedError = Arc<dyn Error + Send + Sync>;

/// Why a backend could not do its job. A command that fails is an outcome and not one of these.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VmError {
    /// The image can't be had: unknown, unreadable, or of a kind that the backend doesn't offer.
    #[error("can't use the image {image:?}")]
    Image {
        /// As the pipeline names it.
        image: String,
        /// What helps, to be pasted.
        fix: Option<String>,
        /// What the image store said.
        #[source]
        source: SharedError,
    },
    /// The image was resolved by another backend.
    #[error("the image {image:?} was not resolved by the backend {backend}")]
    ForeignImage {
        /// As the pipeline names it.
        image: String,
        /// The backend that was asked.
        backend: &'static str,
    },
    /// There is no such snapshot, or it was released.
    #[error("there is no snapshot {snapshot:?}", snapshot = .snapshot.0)]
    SnapshotMissing {
        /// The snapshot asked for.
        snapshot: SnapshotRef,
    },
    /// The snapshot can't be released while a machine runs on it.
    #[error("the snapshot {snapshot:?} is in use by {machines} running machine(s)", snapshot = .snapshot.0)]
    InUse {
        /// The snapshot.
        snapshot: SnapshotRef,
        /// How many machines run on it.
        machines: usize,
    },
    /// The machine holds no `sh`, so no command can run.
    #[error("the image holds no `sh` on its PATH ({path})")]
    NoShell {
        /// The `PATH` that was searched inside the machine.
        path: String,
    },
    /// The command or its variables are larger than the kernel takes (`execve(2)`, `E2BIG`).
    #[error("{what}, and the kernel takes no more than {limit}")]
    TooLarge {
        /// What is too large, and how large it is.
        what: String,
        /// How much of it may be.
        limit: &'static str,
        /// What helps.
        fix: &'static str,
    },
    /// The working folder isn't there or is no folder.
    #[error("the working folder {workdir:?} is not a folder in the machine")]
    Workdir {
        /// As asked for.
        workdir: String,
        /// What the operating system said, where it was asked.
        #[source]
        source: Option<SharedError>,
    },
    /// The image's user isn't known inside the machine.
    #[error("the image's user {user:?} {problem}")]
    UnknownUser {
        /// As the image names it.
        user: String,
        /// Why.
        problem: UserProblem,
    },
    /// The machine could not be made.
    #[error("can't start a machine")]
    Start {
        /// Why.
        #[source]
        source: SharedError,
    },
    /// The machine can't have the network that it is to have.
    #[error("the machine can't have the network {network:?}", network = .network.to_string())]
    Network {
        /// As asked for.
        network: Network,
        /// Why.
        #[source]
        source: SharedError,
    },
    /// The workspace could not be put into the machine.
    #[error("can't put the workspace into the machine")]
    Workspace {
        /// Why.
        #[source]
        source: SharedError,
    },
    /// The command could not be started, or its end could not be seen.
    #[error("can't run the command")]
    Exec {
        /// Why.
        #[source]
        source: SharedError,
    },
    /// The machine's files could not be kept or read as a snapshot.
    #[error("can't keep or read a snapshot")]
    Snapshot {
        /// Why.
        #[source]
        source: SharedError,
    },
    /// What the machine used could not be given back.
    #[error("can't clean up after a machine")]
    Close {
        /// Why.
        #[source]
        source: SharedError,
    },
    /// The backend was closed.
    #[error("the backend {backend} is closed")]
    Closed {
        /// Its name.
        backend: &'static str,
    },
}

impl VmError {
    /// What helps, where that is known.
    pub fn fix(&self) -> Option<String> {
        if let Self::Image { fix: Some(fix), .. } = self {
            return Some(fix.clone());
        }
        if let Self::TooLarge { fix, .. } = self {
            return Some((*fix).to_owned());
        }
        if let Self::NoShell { .. } = self {
            return Some(
                "use an image with a shell, such as debian or alpine; or set PATH to where its `sh` is".to_owned(),
            );
        }
        let source = self.shared_source()?;
        let of_sandbox = source.downcast_ref::<SandboxError>().and_then(SandboxError::fix);
        of_sandbox
            .map(ToOwned::to_owned)
            .or_else(|| source.downcast_ref::<DockerError>()?.fix())
    }

    fn shared_source(&self) -> Option<&SharedError> {
        match self {
            Self::Image { source, .. }
            | Self::Start { source }
            | Self::Network { source, .. }
            | Self::Workspace { source }
            | Self::Exec { source }
            | Self::Snapshot { source }
            | Self::Close { source } => Some(source),
            Self::Workdir { source, .. } => source.as_ref(),
            Self::ForeignImage { .. }
            | Self::SnapshotMissing { .. }
            | Self::InUse { .. }
            | Self::NoShell { .. }
            | Self::TooLarge { .. }
            | Self::UnknownUser { .. }
            | Self::Closed { .. } => None,
        }
    }

    /// A stable word for the kind of error, for machines and for documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Image { .. } | Self::ForeignImage { .. } => "image",
            Self::SnapshotMissing { .. } => "snapshot-missing",
            Self::InUse { .. } => "snapshot-in-use",
            Self::NoShell { .. } => "no-shell",
            Self::TooLarge { .. } => "command-too-large",
            Self::Workdir { .. } => "workdir",
            Self::UnknownUser { .. } => "unknown-user",
            Self::Start { .. } => "machine-start",
            Self::Network { .. } => "network",
            Self::Workspace { .. } => "workspace",
            Self::Exec { .. } => "exec",
            Self::Snapshot { .. } => "snapshot",
            Self::Close { .. } => "machine-close",
            Self::Closed { .. } => "backend-closed",
        }
    }
}
