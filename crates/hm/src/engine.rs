//! Which Docker engine is meant, as the `docker` command finds it.

use std::fs;
use std::path::{Path, PathBuf};

use hm_vm::{DockerError, EngineObserver};
use serde_json::Value;

use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::process::Process;

/// Where an engine listens unless something else is said.
const SOCKET: &str = "/var/run/docker.sock";

/// Tells on standard error what the engine does that takes long.
#[derive(Debug)]
pub(crate) struct Notes;

impl EngineObserver for Notes {
    fn note(&self, text: &str) {
        output::note(text);
    }
}

/// `DOCKER_HOST`, else the host of the context of `DOCKER_CONTEXT` or of the configuration, else the first socket that is
/// there: Docker's, Docker Desktop's, Podman's of the user, Podman's of the machine.
pub(crate) fn host(process: &Process) -> Result<String, CliError> {
    if let Some(host) = process.variable("DOCKER_HOST") {
        let has_tls = process.variable("DOCKER_TLS_VERIFY").is_some();
        return match host.strip_prefix("tcp://") {
            Some(far) if has_tls => Err(no_tls(far)),
            _ => Ok(host.to_owned()),
        };
    }
    let folder = process.variable("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(process.home()?.join(".docker")));
    let current = folder.as_deref().and_then(current_context);
    let context = process.variable("DOCKER_CONTEXT").map(ToOwned::to_owned).or(current);
    match (context, folder) {
        (Some(context), Some(folder)) if context != "default" => context_host(&folder, &context),
        _ => Ok(socket(process)),
    }
}

/// The engine that was found can't be used.
pub(crate) fn unavailable(error: &DockerError, host: &str) -> CliError {
    let told = CliError::from_error("engine_unavailable", Exit::Unavailable, error)
        .cause(format!("the engine was looked for at {host}"));
    if host.starts_with("ssh://") {
        return forwarded(told, host);
    }
    told.fix("start the engine: sudo systemctl start docker")
        .fix("DOCKER_HOST=unix:///path/of/its.sock hm run --backend docker")
        .fix("hm run --backend sandbox")
}

fn no_tls(far: &str) -> CliError {
    let host = far.split(':').next().unwrap_or(far);
    let told = CliError::new(
        "engine_tls",
        Exit::Usage,
        "DOCKER_TLS_VERIFY asks for TLS, which this version does not speak to engines",
    );
    forwarded(told, host)
}

/// What helps where only a socket of this machine can be used.
fn forwarded(told: CliError, far: &str) -> CliError {
    told.fix(format!("ssh -fnNT -L /tmp/engine.sock:/var/run/docker.sock {far}"))
        .fix("DOCKER_HOST=unix:///tmp/engine.sock hm run --backend docker")
}

fn socket(process: &Process) -> String {
    let home = process.home().map(|home| home.join(".docker/run/docker.sock"));
    let user = process
        .variable("XDG_RUNTIME_DIR")
        .map(|folder| Path::new(folder).join("podman/podman.sock"));
    let known = [Some(SOCKET.into()), home, user, Some("/run/podman/podman.sock".into())];
    let found: Option<PathBuf> = known.into_iter().flatten().find(|path| path.exists());
    format!("unix://{}", found.unwrap_or_else(|| SOCKET.into()).display())
}

fn current_context(folder: &Path) -> Option<String> {
    let config = read_json(&folder.join("config.json"))?;
    Some(config.get("currentContext")?.as_str()?.to_owned())
}

/// Contexts lie in folders that are named by a hash; each tells its name itself.
fn context_host(folder: &Path, context: &str) -> Result<String, CliError> {
    let all = fs::read_dir(folder.join("contexts/meta"))
        .into_iter()
        .flatten()
        .flatten();
    let mut all = all.filter_map(|entry| read_json(&entry.path().join("meta.json")));
    let found = all.find(|meta| meta.get("Name").and_then(Value::as_str) == Some(context));
    let host = found.and_then(|meta| Some(meta.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned()));
    host.ok_or_else(|| {
        CliError::new(
            "engine_context_unknown",
            Exit::Usage,
            format!("there is no Docker context {context:?} with an address"),
        )
        .cause(format!("contexts are looked for in {}", folder.display()))
        .fix("docker context ls")
        .fix("DOCKER_CONTEXT=default hm run --backend docker")
    })
}

fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(home: &Path, more: &[(&str, &str)]) -> Process {
        let home = ("HOME", home.to_str().unwrap());
        let all = more.iter().chain([&home]);
        Process {
            env: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            cwd: PathBuf::from("/"),
        }
    }

    #[test]
    fn the_variable_wins_over_the_context_and_the_context_over_the_sockets() {
        let home = tempfile::tempdir().unwrap();
        let meta = home.path().join(".docker/contexts/meta/0a");
        fs::create_dir_all(&meta).unwrap();
        let described = r#"{ "Name": "far", "Endpoints": { "docker": { "Host": "tcp://far:2375" } } }"#;
        fs::write(meta.join("meta.json"), described).unwrap();
        let found = |more: &[(&str, &str)]| host(&process(home.path(), more));
        assert_eq!(found(&[("DOCKER_CONTEXT", "far")]).unwrap(), "tcp://far:2375");
        assert_eq!(found(&[("DOCKER_CONTEXT", "none")]).unwrap_err().exit(), Exit::Usage);
        let both = [("DOCKER_CONTEXT", "far"), ("DOCKER_HOST", "unix:///mine")];
        assert_eq!(found(&both).unwrap(), "unix:///mine");
        let secure = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_HOST", "tcp://far:2376")];
        assert_eq!(found(&secure).unwrap_err().exit(), Exit::Usage);
        assert_eq!(found(&secure[1..]).unwrap(), "tcp://far:2376");
        assert!(found(&[]).unwrap().starts_with("unix://"));
        fs::write(
            home.path().join(".docker/config.json"),
            r#"{ "currentContext": "far" }"#,
        )
        .unwrap();
        assert_eq!(found(&[]).unwrap(), "tcp://far:2375");
        assert!(found(&[("DOCKER_CONTEXT", "default")]).unwrap().starts_with("unix://"));
    }
}
