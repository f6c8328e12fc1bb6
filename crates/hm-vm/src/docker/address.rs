//! Where an engine listens.

use std::fmt;
use std::path::PathBuf;

use super::error::DockerError;

/// Ports of engines without and with TLS (IANA, `docker` and `docker-s`).
const PORTS: [u16; 2] = [2375, 2376];

/// Where an engine listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EngineAddress {
    /// A socket of this machine: `unix://PATH`, or a plain path.
    Socket(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp {
        /// `HOST:PORT`.
        authority: String,
        /// For TLS: the folder of `ca.pem`, which signs for the engine, and of `cert.pem` with `key.pem`, which show who
        /// asks; the last two may both be missing.
        certificates: Option<PathBuf>,
    },
    /// The engine that the `docker` command of another machine finds: `ssh://[USER@]HOST[:PORT][/PATH/OF/ITS.sock]`.
    Ssh(SshDestination),
}

/// A machine behind ssh(1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SshDestination {
    /// Who to be there; ssh knows one otherwise.
    pub user: Option<String>,
    /// A name that ssh knows.
    pub host: String,
    /// ssh knows one otherwise.
    pub port: Option<u16>,
    /// The engine's socket there, where it isn't the one that `docker` takes.
    pub socket: Option<String>,
}

impl EngineAddress {
    /// Understands an address as `DOCKER_HOST` has it. TCP speaks TLS where a folder of certificates is given.
    ///
    /// # Errors
    /// [`DockerError::Address`] where it is none.
    pub fn parse(text: &str, certificates: Option<PathBuf>) -> Result<Self, DockerError> {
        let unknown = || DockerError::Address { host: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix://").or(text.starts_with('/').then_some(text)) {
            return Ok(Self::Socket(path.into()));
        }
        if let Some(rest) = text.strip_prefix("ssh://") {
            return SshDestination::parse(rest).map(Self::Ssh).ok_or_else(unknown);
        }
        let rest = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://"));
        let authority = rest.ok_or_else(unknown)?.trim_end_matches('/');
        let [plain, with_tls] = PORTS;
        let usual = if certificates.is_some() { with_tls } else { plain };
        let (host, port) = host_and_port(authority).ok_or_else(unknown)?;
        Ok(Self::Tcp {
            authority: format!("{host}:{}", port.unwrap_or(usual)),
            certificates,
        })
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { authority, .. } => write!(f, "tcp://{authority}"),
            Self::Ssh(destination) => write!(f, "{destination}"),
        }
    }
}

impl SshDestination {
    /// `[USER@]HOST[:PORT][/PATH]`; passwords have no place there.
    fn parse(text: &str) -> Option<Self> {
        let (authority, socket) = match text.find('/') {
            Some(at) => (text.get(..at)?, text.get(at..)?),
            None => (text, ""),
        };
        let (user, rest) = match authority.rsplit_once('@') {
            Some((user, rest)) if !user.is_empty() && !user.contains(':') => (Some(user.to_owned()), rest),
            Some(_) => return None,
            None => (None, authority),
        };
        let (host, port) = host_and_port(rest)?;
        Some(Self {
            user,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            socket: Some(socket.to_owned()).filter(|socket| socket.len() > 1),
        })
    }

    /// What ssh is given to get there, options first.
    pub(super) fn arguments(&self) -> Vec<String> {
        let user = self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]);
        let port = self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]);
        user.chain(port).chain(["--".to_owned(), self.host.clone()]).collect()
    }
}

impl fmt::Display for SshDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.socket.as_deref().unwrap_or_default())
    }
}

/// Takes `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT` apart.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
    is_host.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, certificates: Option<&str>) -> Option<String> {
        let found = EngineAddress::parse(text, certificates.map(PathBuf::from));
        found.ok().map(|address| address.to_string())
    }

    #[test]
    fn addresses_are_those_of_the_docker_command() {
        for (text, same) in [
            ("unix:///run/d.sock", "unix:///run/d.sock"),
            ("/run/d.sock", "unix:///run/d.sock"),
            ("tcp://far:1/", "tcp://far:1"),
            ("http://far:1", "tcp://far:1"),
            ("tcp://far", "tcp://far:2375"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("tcp://[::1]:7", "tcp://[::1]:7"),
            ("ssh://me@far:22/run/d.sock", "ssh://me@far:22/run/d.sock"),
            ("ssh://far/", "ssh://far"),
            ("ssh://[::1]:7", "ssh://[::1]:7"),
        ] {
            assert_eq!(shown(text, None).as_deref(), Some(same), "{text}");
        }
        assert_eq!(shown("tcp://far", Some("/c")).as_deref(), Some("tcp://far:2376"));
        for wrong in [
            "",
            "far",
            "npipe:////./pipe/x",
            "tcp://",
            "tcp://far:x",
            "tcp://far/x",
            "ssh://",
            "ssh://@far",
            "ssh://me:secret@far",
            "ssh://far:x",
            "ssh://far?x",
            "fd://",
        ] {
            assert_eq!(shown(wrong, None), None, "{wrong}");
        }
    }

    #[test]
    fn ssh_takes_no_host_for_an_option() {
        let EngineAddress::Ssh(destination) = EngineAddress::parse("ssh://-me@-oProxyCommand=x:7", None).unwrap()
        else {
            panic!("this is an address of ssh");
        };
        assert_eq!(
            destination.arguments(),
            ["-l", "-me", "-p", "7", "--", "-oProxyCommand=x"]
        );
    }
}
