//! Finding the engine.

use bollard::{API_DEFAULT_VERSION, Docker};

use super::error::DockerError;

/// Seconds until an answer must have begun: keeping or sending much takes long, and waiting for a step longer.
const TIMEOUT: u64 = 24 * 60 * 60;

/// An engine that has answered.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) docker: Docker,
    pub(super) os: String,
    pub(super) arch: String,
}

/// Connects to `unix://PATH`, a plain path, `tcp://HOST:PORT` or `http://HOST:PORT`, and settles on the newest version of
/// the API that both sides know.
pub(crate) async fn connect(host: &str) -> Result<Connection, DockerError> {
    let unreachable = |source| DockerError::Unreachable {
        host: host.to_owned(),
        source: Box::new(source),
    };
    let docker = if let Some(path) = host.strip_prefix("unix://").or(host.starts_with('/').then_some(host)) {
        Docker::connect_with_unix(path, TIMEOUT, API_DEFAULT_VERSION)
    } else if host.starts_with("tcp://") || host.starts_with("http://") {
        Docker::connect_with_http(host, TIMEOUT, API_DEFAULT_VERSION)
    } else {
        return Err(DockerError::Address { host: host.to_owned() });
    };
    let docker = docker.map_err(unreachable)?;
    let docker = docker.negotiate_version().await.map_err(unreachable)?;
    let version = docker.version().await.map_err(unreachable)?;
    Ok(Connection {
        docker,
        os: version.os.unwrap_or_default(),
        arch: version.arch.unwrap_or_default(),
    })
}
