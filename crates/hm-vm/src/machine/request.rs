//! What is asked of a backend and what it answers.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{OutputSink, StopToken};
use hm_pipeline_ir::Resources;
use hm_store::ImageDigest;
use hm_store::workspace::Workspace;

/// An image that a backend has found and can boot.
#[derive(Clone)]
pub struct BootImage {
    reference: String,
    digest: ImageDigest,
    config: ImageConfig,
    handle: Arc<dyn Any + Send + Sync>,
}

impl BootImage {
    /// For backends: `handle` is what the backend itself needs to boot it.
    pub fn new(
        reference: impl Into<String>,
        digest: ImageDigest,
        config: ImageConfig,
        handle: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            reference: reference.into(),
            digest,
            config,
            handle,
        }
    }

    /// As the pipeline names it.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// What it holds; part of cache keys.
    pub fn digest(&self) -> &ImageDigest {
        &self.digest
    }

    /// What the image says about running commands in it.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// For backends: what was given to [`BootImage::new`], if it is a `T`.
    pub fn handle<T: Any>(&self) -> Option<&T> {
        self.handle.downcast_ref()
    }
}

impl fmt::Debug for BootImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootImage")
            .field("reference", &self.reference)
            .field("digest", &self.digest)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What an image says about running commands in it. Its entry point is never used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageConfig {
    /// Variables, below the step's own.
    pub env: Vec<(String, String)>,
    /// User of commands: a name or number, optionally `:group`; root where absent.
    pub user: Option<String>,
    /// Shown to whoever asks; commands that name no folder run in `/workspace`.
    pub working_dir: Option<String>,
}

/// Which network a machine sees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Network {
    /// The one `hm` runs in.
    #[default]
    Host,
    /// One of its own with a way out: what listens on the loopback of the machine `hm` runs on is out of reach, and
    /// nothing outside reaches in.
    Isolated,
    /// Loopback only.
    None,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Isolated => "isolated",
            Self::None => "none",
        })
    }
}

/// What a machine may use at most. Nothing is limited where a member is absent.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Limits {
    /// Processors, possibly a fraction; positive.
    pub cpus: Option<f64>,
    /// Memory in MiB, what the page cache holds for it included; at least 1.
    pub memory_mib: Option<u64>,
    /// Processes and threads at the same time; at least 1.
    pub pids: Option<u64>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&Resources> for Limits {
    fn from(resources: &Resources) -> Self {
        let Resources { cpus, memory_mib, pids } = *resources;
        Self { cpus, memory_mib, pids }
    }
}

/// What a machine is to be like.
#[derive(Clone, Debug, Default)]
pub struct MachineRequest {
    /// What goes to `/workspace`.
    pub workspace: Option<Arc<Workspace>>,
    /// Which network it sees.
    pub network: Network,
    /// What each command in it may use.
    pub limits: Limits,
    /// No other machine is made of the snapshot from now on, and nothing is asked about it but to release it: the
    /// backend may use it up. Says nothing where a machine is made of an image.
    pub last: bool,
}

/// Where commands start: the workspace.
pub(crate) const DEFAULT_WORKDIR: &str = "/workspace";

/// One command to run in a machine as `sh -c CMD`.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// The command.
    pub cmd: String,
    /// Over the image's variables and the baseline (`HOME`, `PATH`).
    pub env: BTreeMap<String, String>,
    /// Absolute path inside the machine. Where absent it is the image's if that lies in the workspace, or there is no
    /// workspace; else `/workspace`.
    pub workdir: Option<String>,
    /// Tells the command to stop.
    pub stop: StopToken,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Takes the output.
    pub sink: Arc<dyn OutputSink>,
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecOutcome {
    /// Exit code; 128 + n for an end by signal n.
    pub exit: i32,
    /// The stop token was used before the command ended.
    pub stopped: bool,
    /// The kernel killed a process of the command because [`Limits::memory_mib`] was used up.
    pub out_of_memory: bool,
    /// The kernel refused the command a process because [`Limits::pids`] was reached, where the backend can tell.
    pub out_of_pids: bool,
    /// What it used, where the backend can tell.
    pub usage: Option<Usage>,
}

impl ExecOutcome {
    /// Of a command that was told to stop before it was started: the exit code of one that SIGTERM ends.
    pub(crate) fn stopped_before_start() -> Self {
        Self {
            exit: 128 + 15,
            stopped: true,
            out_of_memory: false,
            out_of_pids: false,
            usage: None,
        }
    }
}

/// What a command and all that it started used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Processor time, user and system.
    pub cpu: Duration,
    /// The most memory in bytes: all of it at once where a control group counts, else the greatest resident set of one
    /// process.
    pub max_rss_bytes: u64,
    /// Read from block devices, in bytes.
    pub read_bytes: u64,
    /// Written to block devices, in bytes.
    pub write_bytes: u64,
}
