//! Which Docker engine is meant, as the `docker` command finds it.

use std::fs;
use std::path::{Path, PathBuf};

use hm_vm::{DockerError, EngineAddress, EngineObserver};
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

/// `DOCKER_HOST`, else the context of `DOCKER_CONTEXT` or of the configuration, else the first socket that is there:
/// Docker's, Docker Desktop's, Podman's of the user, Podman's of the machine.
pub(crate) fn address(process: &Process) -> Result<EngineAddress, CliError> {
    let folder = process.variable("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(process.home()?.join(".docker")));
    if let Some(host) = process.variable("DOCKER_HOST") {
        let own = process.variable("DOCKER_CERT_PATH").map(|path| process.cwd.join(path));
        let certificates = process.variable("DOCKER_TLS_VERIFY").and(own.or(folder));
        if certificates.is_none() && process.variable("DOCKER_TLS").is_some() && host.starts_with("tcp://") {
            return Err(unverified("DOCKER_TLS without DOCKER_TLS_VERIFY").again("DOCKER_TLS_VERIFY=1", ""));
        }
        return parse(host, certificates);
    }
    let current = folder.as_deref().and_then(current_context);
    let context = process.variable("DOCKER_CONTEXT").map(ToOwned::to_owned).or(current);
    match (context, folder) {
        (Some(context), Some(folder)) if context != "default" => context_address(&folder, &context),
        _ => Ok(EngineAddress::Socket(socket(process))),
    }
}

/// The engine that was found can't be used.
pub(crate) fn unavailable(error: &DockerError, address: &EngineAddress) -> CliError {
    let is_tls = matches!(
        error,
        DockerError::Certificates(_) | DockerError::Tls { .. } | DockerError::WantsTls { .. }
    );
    let code = if is_tls {
        "engine_tls"
    } else if matches!(error, DockerError::Ssh { .. }) {
        "engine_ssh"
    } else {
        "engine_unavailable"
    };
    let told =
        CliError::from_error(code, Exit::Unavailable, error).cause(format!("the engine was looked for at {address}"));
    match error.fix() {
        Some(fix) => told.fix(fix),
        None => told
            .fix("start the engine: sudo systemctl start docker")
            .fix("DOCKER_HOST=unix:///path/of/its.sock hm run --backend docker"),
    }
    .fix("hm run --backend sandbox")
}

fn parse(text: &str, certificates: Option<PathBuf>) -> Result<EngineAddress, CliError> {
    EngineAddress::parse(text, certificates).map_err(|error| {
        CliError::from_error("engine_unavailable", Exit::Unavailable, &error)
            .again("DOCKER_HOST=unix:///path/of/its.sock", "")
    })
}

fn unverified(what: &str) -> CliError {
    CliError::new(
        "engine_tls",
        Exit::Usage,
        format!("{what} asks for TLS with an engine that nobody vouches for, which hm doesn't do"),
    )
}

fn socket(process: &Process) -> PathBuf {
    let home = process.home().map(|home| home.join(".docker/run/docker.sock"));
    let user = process
        .variable("XDG_RUNTIME_DIR")
        .map(|folder| Path::new(folder).join("podman/podman.sock"));
    let known = [Some(SOCKET.into()), home, user, Some("/run/podman/podman.sock".into())];
    let found: Option<PathBuf> = known.into_iter().flatten().find(|path| path.exists());
    found.unwrap_or_else(|| SOCKET.into())
}

fn current_context(folder: &Path) -> Option<String> {
    let config = read_json(&folder.join("config.json"))?;
    Some(config.get("currentContext")?.as_str()?.to_owned())
}

/// Contexts lie in folders that are named by a hash; each tells its name itself. What it needs for TLS lies in a folder of
/// the same name.
fn context_address(folder: &Path, context: &str) -> Result<EngineAddress, CliError> {
    let all = fs::read_dir(folder.join("contexts/meta"))
        .into_iter()
        .flatten()
        .flatten();
    let found = all.into_iter().find_map(|entry| {
        let meta = read_json(&entry.path().join("meta.json"))?;
        let is_it = meta.get("Name").and_then(Value::as_str) == Some(context);
        let host = meta.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned();
        let skips = meta.pointer("/Endpoints/docker/SkipTLSVerify") == Some(&Value::Bool(true));
        is_it.then(|| (host, skips, entry.file_name()))
    });
    let Some((host, skips, name)) = found else {
        return Err(CliError::new(
            "engine_context_unknown",
            Exit::Usage,
            format!("there is no Docker context {context:?} with an address"),
        )
        .cause(format!("contexts are looked for in {}", folder.display()))
        .fix("docker context ls")
        .fix("DOCKER_CONTEXT=default hm run --backend docker"));
    };
    if skips {
        let told = unverified(&format!("the Docker context {context:?}"));
        return Err(told.fix(format!(
            "docker context update {context} --docker host={host},ca=/path/of/ca.pem,skip-tls-verify=false"
        )));
    }
    let certificates = folder.join("contexts/tls").join(name).join("docker");
    parse(&host, certificates.is_dir().then_some(certificates))
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
        let address = |more: &[(&str, &str)]| address(&process(home.path(), more));
        let found = |more: &[(&str, &str)]| address(more).unwrap().to_string();
        assert_eq!(found(&[("DOCKER_CONTEXT", "far")]), "tcp://far:2375");
        let none = [("DOCKER_CONTEXT", "none")];
        assert_eq!(address(&none).unwrap_err().exit(), Exit::Usage);
        let both = [("DOCKER_CONTEXT", "far"), ("DOCKER_HOST", "unix:///mine")];
        assert_eq!(found(&both), "unix:///mine");
        assert!(found(&[]).starts_with("unix://"));
        fs::write(
            home.path().join(".docker/config.json"),
            r#"{ "currentContext": "far" }"#,
        )
        .unwrap();
        assert_eq!(found(&[]), "tcp://far:2375");
        assert!(found(&[("DOCKER_CONTEXT", "default")]).starts_with("unix://"));
    }

    /// Whether TLS is spoken, and with the certificates of which folder.
    fn folder(found: EngineAddress) -> Option<PathBuf> {
        match found {
            EngineAddress::Tcp { certificates, .. } => certificates,
            EngineAddress::Socket(_) | EngineAddress::Ssh(_) => None,
        }
    }

    #[test]
    fn certificates_are_where_the_docker_command_has_them() {
        let home = tempfile::tempdir().unwrap();
        let in_docker = |name: &str| home.path().join(".docker").join(name);
        let found = |more: &[(&str, &str)]| address(&process(home.path(), more));
        let secure = [
            ("DOCKER_HOST", "tcp://far"),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", "keys"),
        ];
        assert_eq!(folder(found(&secure).unwrap()), Some("/keys".into()));
        assert_eq!(folder(found(&secure[..2]).unwrap()), Some(in_docker("")));
        assert_eq!(folder(found(&secure[..1]).unwrap()), None);
        let unverified = [secure[0], ("DOCKER_TLS", "1")];
        assert_eq!(found(&unverified).unwrap_err().exit(), Exit::Usage);

        let write = |skips: bool| {
            let meta = in_docker("contexts/meta/0a");
            fs::create_dir_all(&meta).unwrap();
            let host = r#""Host": "tcp://far", "SkipTLSVerify":"#;
            let text = format!(r#"{{ "Name": "far", "Endpoints": {{ "docker": {{ {host} {skips} }} }} }}"#);
            fs::write(meta.join("meta.json"), text).unwrap();
        };
        write(false);
        let context = [("DOCKER_CONTEXT", "far")];
        assert_eq!(folder(found(&context).unwrap()), None);
        let tls = in_docker("contexts/tls/0a/docker");
        fs::create_dir_all(&tls).unwrap();
        assert_eq!(folder(found(&context).unwrap()), Some(tls));
        write(true);
        assert_eq!(found(&context).unwrap_err().exit(), Exit::Usage);
    }
}
