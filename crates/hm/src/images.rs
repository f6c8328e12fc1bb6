//! How images are resolved: from the environment, Docker's files and the configuration.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hm_config::SandboxSettings;
use hm_store::image::{AuthoritySettings, DockerConfig, ImageLock, LockError, ProxySettings, RegistrySettings};
use hm_store::{ImageError, ImageSettings};

use crate::error::CliError;
use crate::exit::Exit;
use crate::process::Process;

/// Everything but the lock.
pub(crate) fn settings(sandbox: &SandboxSettings, process: &Process, offline: bool) -> Result<ImageSettings, CliError> {
    let either = |upper: &str| {
        let found = process
            .variable(&upper.to_lowercase())
            .or_else(|| process.variable(upper));
        found.map(str::to_owned)
    };
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (registry, mirror) in &sandbox.mirrors {
        mirrors.entry(registry.clone()).or_default().push(mirror.clone());
    }
    let registry = RegistrySettings {
        credentials: docker_config(process)?,
        helper_path: process.variable("PATH").map(Into::into),
        proxies: ProxySettings {
            https: either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")),
            http: either("HTTP_PROXY").or_else(|| either("ALL_PROXY")),
            none: either("NO_PROXY"),
        },
        authorities: AuthoritySettings {
            instead: process.variable("SSL_CERT_FILE").map(PathBuf::from),
            extra: sandbox.ca_files.clone(),
        },
        mirrors,
        insecure: sandbox.insecure_registries.iter().cloned().collect(),
        ..RegistrySettings::default()
    };
    Ok(ImageSettings {
        offline,
        registry,
        ..ImageSettings::default()
    })
}

/// What `docker login` wrote.
fn docker_config(process: &Process) -> Result<DockerConfig, CliError> {
    let folder = process.variable("DOCKER_CONFIG").map(PathBuf::from);
    let Some(path) = folder
        .or_else(|| Some(process.home()?.join(".docker")))
        .map(|folder| folder.join("config.json"))
    else {
        return Ok(DockerConfig::default());
    };
    let unusable = |error: &(dyn std::error::Error + 'static)| {
        CliError::from_error("docker_config_invalid", Exit::Usage, error)
            .cause(format!("the file is {}", path.display()))
            .again("mend the file, or name another folder: DOCKER_CONFIG=/empty/folder", "")
    };
    match fs::read(&path) {
        Ok(bytes) => DockerConfig::parse(&bytes).map_err(|error| unusable(&error)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(DockerConfig::default())
        }
        Err(error) => Err(unusable(&error)),
    }
}

/// Where a repository's lock is.
pub(crate) fn lock_path(root: &Path) -> PathBuf {
    root.join(".hm/images.lock")
}

/// The repository's lock, if it has one.
pub(crate) fn read_lock(root: &Path) -> Result<Option<ImageLock>, CliError> {
    ImageLock::read(&lock_path(root)).map_err(|error| lock_error(&error))
}

/// A lock can't be read or written.
pub(crate) fn lock_error(error: &LockError) -> CliError {
    CliError::from_error("images_lock", Exit::Usage, error).fix("rm .hm/images.lock && hm image lock")
}

/// An image can't be had.
pub(crate) fn image_error(error: &ImageError) -> CliError {
    let (code, exit) = if let ImageError::Registry(error) = error {
        (error.code(), Exit::Unavailable)
    } else if let ImageError::NotPulled { .. } = error {
        ("image_not_pulled", Exit::NotFound)
    } else if let ImageError::Lost { .. } = error {
        ("image_lost", Exit::Unavailable)
    } else {
        ("image_unusable", Exit::Unavailable)
    };
    let told = CliError::from_error(code, exit, error);
    match error.fix() {
        Some(fix) => told.fix(fix),
        None => told,
    }
}
