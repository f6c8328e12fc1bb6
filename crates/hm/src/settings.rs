//! From flags, files and variables to what a command works with.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hm_config::{
    ConfigError, ConfigFile, FlagValue, Layers, OutputFormat, Resolved, SandboxNetwork, SandboxRoots, SandboxSettings,
    Settings, WorkspaceSettings, project_config_paths, user_config_path,
};
use hm_store::ImageSettings;
use hm_vm::{EngineAddress, Network, RootKind};

use crate::cli::{BuildArgs, Format};
use crate::engine;
use crate::error::CliError;
use crate::exit::Exit;
use crate::images;
use crate::network::{self, Networks};
use crate::open_files::{AtOnce, OpenFiles};
use crate::output;
use crate::process::Process;

/// The folders that a command starts from.
#[derive(Debug)]
pub(crate) struct Places {
    /// Where `.hm/` is looked for, upward.
    pub(crate) start: PathBuf,
    /// Whether the user named that folder.
    named: bool,
}

impl Places {
    /// `--dir`, else the current folder.
    pub(crate) fn find(dir: Option<&Path>, process: &Process) -> Result<Self, CliError> {
        let start = dir.map_or_else(|| process.cwd.clone(), |dir| process.cwd.join(dir));
        if !start.is_dir() {
            return Err(CliError::new(
                "dir_missing",
                Exit::NotFound,
                format!("{} is not a folder", start.display()),
            )
            .again("", "--dir FOLDER, with a folder that exists"));
        }
        Ok(Self {
            start,
            named: dir.is_some(),
        })
    }

    /// The working tree of a run without a pipeline file: the folder that was named, else the one that holds the nearest
    /// `.hm/`, else the current one.
    pub(crate) fn tree(&self) -> PathBuf {
        let above = || self.start.ancestors().find(|folder| folder.join(".hm").is_dir());
        if self.named { None } else { above() }
            .unwrap_or(&self.start)
            .to_owned()
    }

    /// The configuration with these flags over it. What is odd about it is told on standard error.
    fn resolve(&self, flags: Vec<FlagValue>, process: &Process) -> Result<Settings, CliError> {
        let resolved = self.load(flags, process)?;
        for warning in &resolved.warnings {
            output::note(&format!("warning: {warning}"));
        }
        Ok(resolved.settings)
    }

    fn load(&self, flags: Vec<FlagValue>, process: &Process) -> Result<Resolved, CliError> {
        let home = process.home();
        let read = |path: &Path| ConfigFile::read(path).map_err(|error| config_error(&error));
        let user_file = user_config_path(&process.env, home.as_deref())
            .map(|path| read(&path))
            .transpose()?
            .flatten();
        let mut project_file = None;
        for path in project_config_paths(&self.start) {
            project_file = read(&path)?;
            if project_file.is_some() {
                break;
            }
        }
        let layers = Layers {
            user_file,
            project_file,
            variables: process.env.clone(),
            flags,
            home,
        };
        layers.resolve().map_err(|error| config_error(&error))
    }
}

/// The output that is asked for where no flag says so: that of the variable, which holds whatever else is wrong with the
/// configuration, else that of the files.
pub(crate) fn preferred_format(process: &Process) -> Format {
    if let Some(name) = process.variable("HM_PREFERENCES__FORMAT") {
        return if name == "json" { Format::Json } else { Format::Human };
    }
    let loaded = Places::find(None, process).and_then(|places| places.load(Vec::new(), process));
    match loaded.map(|loaded| loaded.settings.format) {
        Ok(OutputFormat::Json) => Format::Json,
        Ok(OutputFormat::Human) | Err(_) => Format::Human,
    }
}

fn config_error(error: &ConfigError) -> CliError {
    let told = CliError::new("config_invalid", Exit::Usage, "the configuration can't be used");
    match error {
        ConfigError::Invalid(problems) => problems.iter().fold(told, |told, problem| {
            told.cause(format!("{}: {}", problem.origin, problem.message))
                .fix(problem.hint.clone())
        }),
        ConfigError::Read { .. } => told
            .cause(error.to_string())
            .caused_by_sources_of(error)
            .fix("make the file readable, or remove it"),
    }
}

/// What `hm run` works with.
#[derive(Debug)]
pub(crate) struct RunSettings {
    pub(crate) default_image: String,
    pub(crate) at_once: AtOnce,
    pub(crate) open_files: OpenFiles,
    pub(crate) grace: Duration,
    pub(crate) format: Format,
    pub(crate) store: PathBuf,
    pub(crate) cache_max_bytes: Option<u64>,
    pub(crate) networks: Networks,
    pub(crate) roots: RootKind,
    pub(crate) expose: Vec<PathBuf>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) workspace: WorkspaceSettings,
    pub(crate) images: ImageSettings,
    pub(crate) backend: Backend,
    /// Where the Docker engine is that images are taken from.
    pub(crate) engine: Option<EngineAddress>,
}

/// Flags of a run that no key depends on, but that the configuration knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks<'a> {
    pub(crate) parallelism: Option<&'a str>,
    pub(crate) format: Option<Format>,
}

/// What makes the machines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    /// Namespaces of this machine.
    Sandbox,
    /// Containers of the engine that listens here.
    Docker { address: EngineAddress },
}

/// The backends of this version.
const BACKENDS: [&str; 2] = ["sandbox", "docker"];

impl RunSettings {
    /// Flags over the configuration. What `open_files` has no room for does not run at once.
    pub(crate) fn resolve(
        build: &BuildArgs,
        looks: Looks<'_>,
        places: &Places,
        process: &Process,
        open_files: OpenFiles,
    ) -> Result<Self, CliError> {
        let Settings {
            backend,
            default_image,
            parallelism,
            grace,
            format,
            store_dir,
            cache_max_bytes,
            sandbox,
            workspace,
        } = places.resolve(flags(build, looks), process)?;
        let images = images::settings(&sandbox, process, build.offline)?;
        let SandboxSettings {
            network: of_steps,
            roots,
            expose,
            ..
        } = sandbox;
        let backend = match backend.as_str() {
            "sandbox" => Backend::Sandbox,
            "docker" => Backend::Docker {
                address: engine::address(process)?,
            },
            _ => {
                return Err(CliError::new(
                    "backend_unknown",
                    Exit::Usage,
                    format!("there is no backend {backend:?}"),
                )
                .cause(format!("this version has: {}", BACKENDS.join(", ")))
                .fix("hm run --backend sandbox"));
            }
        };
        // Only images `docker-daemon:NAME` need one; they will say that there is none.
        let engine = engine::address(process).ok();
        let store = store_folder(store_dir, process)?;
        let wanted = parallelism.and_then(|count| NonZeroUsize::try_from(count).ok());
        Ok(Self {
            default_image,
            at_once: open_files.share(wanted.unwrap_or_else(cores))?,
            open_files,
            grace,
            format: match format {
                OutputFormat::Human => Format::Human,
                OutputFormat::Json => Format::Json,
            },
            store,
            cache_max_bytes,
            networks: match backend {
                Backend::Sandbox => Networks::choose(of_steps, process)?,
                Backend::Docker { .. } => Networks {
                    default: match of_steps {
                        Some(SandboxNetwork::Host) | None => Network::Host,
                        Some(SandboxNetwork::Isolated) => Network::Isolated,
                        Some(SandboxNetwork::None) => Network::None,
                    },
                    slirp4netns: network::isolated(process),
                },
            },
            roots: root_kind(roots),
            expose: existing(expose),
            home: process.home(),
            workspace,
            images,
            backend,
            engine,
        })
    }
}

fn root_kind(configured: SandboxRoots) -> RootKind {
    match configured {
        SandboxRoots::Auto => RootKind::OverlaysElseCopies,
        SandboxRoots::Copies => RootKind::Copies,
    }
}

/// What `hm image` works with.
#[derive(Debug)]
pub(crate) struct ImageCommandSettings {
    pub(crate) default_image: String,
    pub(crate) store: PathBuf,
    pub(crate) images: ImageSettings,
    /// What the roots of steps would be.
    pub(crate) roots: RootKind,
}

impl ImageCommandSettings {
    /// The configuration.
    pub(crate) fn resolve(places: &Places, process: &Process) -> Result<Self, CliError> {
        let settings = places.resolve(Vec::new(), process)?;
        Ok(Self {
            default_image: settings.default_image,
            store: store_folder(settings.store_dir, process)?,
            images: images::settings(&settings.sandbox, process, false)?,
            roots: root_kind(settings.sandbox.roots),
        })
    }
}

fn store_folder(configured: Option<PathBuf>, process: &Process) -> Result<PathBuf, CliError> {
    if let Some(dir) = configured {
        return Ok(process.cwd.join(dir));
    }
    let data = process.xdg("XDG_DATA_HOME", ".local/share");
    Ok(data.ok_or_else(|| CliError::no_home("XDG_DATA_HOME"))?.join("hm"))
}

/// A project's list may name what not every machine has.
fn existing(mut folders: Vec<PathBuf>) -> Vec<PathBuf> {
    folders.retain(|folder| {
        let there = folder.exists();
        if !there {
            output::note(&format!(
                "note: `sandbox.expose` names {}, which is not there",
                folder.display()
            ));
        }
        there
    });
    folders
}

fn flags(build: &BuildArgs, Looks { parallelism, format }: Looks<'_>) -> Vec<FlagValue> {
    let format = format.map(|format| match format {
        Format::Human => "human".to_owned(),
        Format::Json => "json".to_owned(),
    });
    let given = [
        ("--backend", "backend", build.backend.clone()),
        ("--parallelism", "parallelism", parallelism.map(str::to_owned)),
        ("--format", "preferences.format", format),
    ];
    given
        .into_iter()
        .filter_map(|(flag, key, value)| {
            Some(FlagValue {
                flag: flag.to_owned(),
                key: key.to_owned(),
                value: value?,
            })
        })
        .collect()
}

fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
