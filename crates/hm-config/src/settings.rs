//! What the layers come to.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The configuration, resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Name of the backend that builds run on.
    pub backend: String,
    /// Image of root steps where neither the step nor the pipeline names one.
    pub default_image: String,
    /// Steps that may run at once; the number of processors where absent.
    pub parallelism: Option<NonZeroU32>,
    /// From asking a step to stop to killing it.
    pub grace: Duration,
    /// How a build is shown.
    pub format: OutputFormat,
    /// Folder of everything durable; the place that the XDG base directory specification gives where absent.
    pub store_dir: Option<PathBuf>,
    /// Bytes on disk that results of cached steps may take; as many as there are where absent.
    pub cache_max_bytes: Option<u64>,
    /// The embedded sandbox.
    pub sandbox: SandboxSettings,
    /// The copy of the working tree that steps see.
    pub workspace: WorkspaceSettings,
}

/// How a build is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutputFormat {
    /// For people.
    Human,
    /// One event a line.
    Json,
}

/// The embedded sandbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SandboxSettings {
    /// Network of steps that name none; where absent the most private one that steps can have and still reach others.
    pub network: Option<SandboxNetwork>,
    /// What the roots of steps are.
    pub roots: SandboxRoots,
    /// Folders of this machine that steps on the `host` image see, read-only, at the same place.
    pub expose: Vec<PathBuf>,
    /// Registries, and where their images are looked for first.
    pub mirrors: Vec<(String, String)>,
    /// Registries that are spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// Files with certificates of authorities that registries may have, besides the machine's own.
    pub ca_files: Vec<PathBuf>,
}

/// What the roots of steps are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SandboxRoots {
    /// Overlays where the kernel mounts them, else copies.
    #[default]
    Auto,
    /// Copies.
    Copies,
}

/// Which network steps see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SandboxNetwork {
    /// The machine's own.
    Host,
    /// One of its own with a way out.
    Isolated,
    /// One of its own with loopback only.
    None,
}

/// The copy of the working tree that steps see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkspaceSettings {
    /// Whether `.git` is part of it.
    pub include_git: bool,
    /// Whether `.hm` is part of it.
    pub include_hm: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backend: "sandbox".to_owned(),
            default_image: "ubuntu:24.04".to_owned(),
            parallelism: None,
            grace: Duration::from_secs(10),
            format: OutputFormat::Human,
            store_dir: None,
            cache_max_bytes: None,
            sandbox: SandboxSettings {
                network: None,
                roots: SandboxRoots::Auto,
                expose: Vec::new(),
                mirrors: Vec::new(),
                insecure_registries: Vec::new(),
                ca_files: Vec::new(),
            },
            workspace: WorkspaceSettings {
                include_git: false,
                include_hm: false,
            },
        }
    }
}
