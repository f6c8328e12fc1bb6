//! Reaching the engine.

use std::path::Path;

use bollard::errors::Error as EngineError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::client::legacy::connect::Connect;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;

use super::address::EngineAddress;
use super::error::{DockerError, find, status};
use super::ssh::SshConnector;
use super::tls;

/// Seconds until an answer must have begun: keeping or sending much takes long, and waiting for a step longer.
const TIMEOUT: u64 = 24 * 60 * 60;
/// The name that is asked for where there is no name: what answers is the engine.
const NO_NAME: &str = "http://engine";
/// How Podman calls itself.
const PODMAN: &str = "Podman";
/// What an engine with TLS answers to who doesn't speak it (Go, net/http).
const WANTS_TLS: &str = "HTTP request to an HTTPS server";

/// What an engine says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineInfo {
    /// Its version, in its own words.
    pub version: String,
    /// What it runs on, in its own words, as in `linux/amd64`.
    pub platform: String,
}

/// Asks an engine what it is. That may take as long as the engine, or the way to it, takes.
///
/// # Errors
/// The address can't be used, or the engine doesn't answer.
pub async fn ask_engine(address: &EngineAddress) -> Result<EngineInfo, DockerError> {
    let Connection { version, os, arch, .. } = connect(address).await?;
    Ok(EngineInfo {
        version,
        platform: format!("{os}/{arch}"),
    })
}

/// An engine that has answered.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) docker: Docker,
    version: String,
    pub(super) os: String,
    pub(super) arch: String,
    /// What an engine is that isn't Docker's is unlike in a few ways.
    pub(super) is_podman: bool,
}

/// Connects, and settles on the newest version of the API that both sides know.
pub(crate) async fn connect(address: &EngineAddress) -> Result<Connection, DockerError> {
    let unreachable = |source| DockerError::Unreachable {
        host: address.to_string(),
        source: Box::new(source),
    };
    match address {
        EngineAddress::Socket(path) => {
            let docker = Docker::connect_with_unix(&path.to_string_lossy(), TIMEOUT, API_DEFAULT_VERSION);
            ask(docker).await.map_err(unreachable)
        }
        EngineAddress::Tcp { certificates: None, .. } => {
            let host = address.to_string();
            let docker = Docker::connect_with_http(&host, TIMEOUT, API_DEFAULT_VERSION);
            ask(docker).await.map_err(|error| {
                let wants_tls = status(&error) == Some(400) && error.to_string().contains(WANTS_TLS);
                if wants_tls {
                    DockerError::WantsTls { host }
                } else {
                    unreachable(error)
                }
            })
        }
        EngineAddress::Tcp {
            authority,
            certificates: Some(folder),
        } => {
            let docker = through(tls::connector(folder)?, &format!("https://{authority}"));
            let failed = |error| handshake(address.to_string(), folder, Box::new(error));
            ask(docker).await.map_err(failed)
        }
        EngineAddress::Ssh(destination) => {
            let connector = SshConnector::new(destination.clone());
            let docker = through(connector.clone(), NO_NAME);
            ask(docker).await.map_err(|error| match connector.failure() {
                Some(failure) => DockerError::Ssh {
                    host: address.to_string(),
                    fix: failure.fix(),
                    source: failure.clone(),
                },
                None => unreachable(error),
            })
        }
    }
}

async fn ask(docker: Result<Docker, EngineError>) -> Result<Connection, EngineError> {
    let docker = docker?.negotiate_version().await?;
    let version = docker.version().await?;
    let parts = version.components.unwrap_or_default();
    Ok(Connection {
        docker,
        is_podman: parts.iter().any(|part| part.name.starts_with(PODMAN)),
        version: version.version.unwrap_or_default(),
        os: version.os.unwrap_or_default(),
        arch: version.arch.unwrap_or_default(),
    })
}

/// The engine behind connections of this kind, which are used again.
fn through<C: Connect + Clone + Send + Sync + 'static>(connector: C, base: &str) -> Result<Docker, EngineError> {
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        async move { Ok(answer.await?) }
    };
    Docker::connect_with_custom_transport(transport, Some(base), TIMEOUT, API_DEFAULT_VERSION)
}

/// What a failure with TLS comes from.
fn handshake(host: String, folder: &Path, source: Box<EngineError>) -> DockerError {
    let cause = find::<rustls::Error>(&*source);
    let never_was = find::<ClientError>(&*source).is_some_and(ClientError::is_connect);
    if cause.is_none() && never_was {
        return DockerError::Unreachable { host, source };
    }
    let (why, fix) = tls::meaning(cause, folder);
    DockerError::Tls { host, why, fix, source }
}
