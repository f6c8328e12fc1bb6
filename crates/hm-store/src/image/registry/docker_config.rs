//! Credentials as Docker keeps them: `config.json` (docker-login(1), "Credential stores"), and podman's `auth.json`
//! (containers-auth.json(5)), whose entries may be for a part of a registry.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// The key that Docker files its own registry's credentials under.
pub(super) const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What of the file is used.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, Debug)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    #[serde(deserialize_with = "null_is_nothing")]
    auths: BTreeMap<String, Entry>,
    #[serde(deserialize_with = "null_is_nothing")]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(secret)")
    }
}

/// Some tools write `null` for what is empty.
fn null_is_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Docker's configuration can't be read.
#[derive(Debug, Error)]
#[error("the Docker configuration is not what Docker writes")]
pub struct DockerConfigError(#[source] serde_json::Error);

/// How to prove to a registry who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user's name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token (RFC 6749 §1.5).
    Identity(String),
    /// A token that the registry itself takes.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(secret)")
    }
}

/// Where credentials are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Here(Credentials),
    /// `docker-credential-PROGRAM` has them, under `server`.
    Helper {
        program: String,
        server: String,
    },
    /// An entry that holds nothing that can be understood.
    Broken {
        key: String,
    },
}

impl DockerConfig {
    /// Reads the bytes of the file; none of them are a configuration too, as for Docker.
    ///
    /// # Errors
    /// JSON that isn't what Docker writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerConfigError> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes).map_err(DockerConfigError)
    }

    /// Where the credentials for a repository are, in the order of docker(1): the helper of its registry, the helper of
    /// all, the file itself.
    pub(super) fn source(&self, registry: &str, repository: &str) -> Option<Source> {
        let names = names_of(registry);
        let helper = self
            .cred_helpers
            .iter()
            .find(|(key, _)| names.contains(&bare(key)))
            .map(|(key, program)| (program.clone(), key.clone()));
        let store = || {
            let program = self.creds_store.clone().filter(|program| !program.is_empty())?;
            let filed = self.auths.keys().find(|key| names.contains(&bare(key)));
            let server = filed.cloned().unwrap_or_else(|| server_name(registry));
            Some((program, server))
        };
        if let Some((program, server)) = helper.or_else(store) {
            return Some(Source::Helper { program, server });
        }
        // The entry for the longest part of the name.
        let whole = names.iter().map(|name| format!("{name}/{repository}"));
        whole
            .flat_map(|name| {
                let ends: Vec<usize> = name.match_indices('/').map(|(at, _)| at).chain([name.len()]).collect();
                ends.into_iter()
                    .filter_map(move |end| Some(name.get(..end)?.to_owned()))
            })
            .filter_map(|part| {
                self.auths
                    .iter()
                    .find(|(key, _)| bare(key) == part)
                    .map(|found| (part.len(), found))
            })
            .max_by_key(|(length, _)| *length)
            .and_then(|(_, (key, entry))| entry.read(key))
    }
}

impl Entry {
    /// `None` for an entry that only says that a helper knows more.
    fn read(&self, key: &str) -> Option<Source> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = some(&self.identitytoken) {
            return Some(Source::Here(Credentials::Identity(token)));
        }
        if let Some(token) = some(&self.registrytoken) {
            return Some(Source::Here(Credentials::Token(token)));
        }
        if let Some(auth) = some(&self.auth) {
            let pair = STANDARD
                .decode(auth.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let read = pair.as_deref().and_then(|pair| pair.split_once(':'));
            return Some(read.map_or_else(
                || Source::Broken { key: key.to_owned() },
                |(user, password)| {
                    Source::Here(Credentials::Password {
                        user: user.to_owned(),
                        password: password.trim_end_matches('\0').to_owned(),
                    })
                },
            ));
        }
        let (user, password) = (some(&self.username)?, some(&self.password)?);
        Some(Source::Here(Credentials::Password { user, password }))
    }
}

/// What a registry is called in the file.
fn names_of(registry: &str) -> Vec<String> {
    match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
            ["index.docker.io", "docker.io", "registry-1.docker.io"]
                .map(str::to_owned)
                .to_vec()
        }
        other => vec![other.to_owned()],
    }
}

/// What helpers call a registry that the file doesn't name.
fn server_name(registry: &str) -> String {
    if registry == "docker.io" { DOCKER_HUB } else { registry }.to_owned()
}

/// A key without the scheme, and the version that old entries end with.
fn bare(key: &str) -> String {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key
        .strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key);
    key.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Source {
        Source::Here(Credentials::Password {
            user: user.into(),
            password: password.into(),
        })
    }

    #[test]
    fn entries_are_found_by_all_their_names() {
        let config = DockerConfig::parse(
            br#"{"auths":{
                "https://index.docker.io/v1/":{"auth":"dTpwOnE="},
                "r.example:5000":{"username":"a","password":"b"},
                "q.example":{"identitytoken":"refresh"},
                "p.example/team/one":{"auth":"eDp5"},
                "p.example":{"auth":"dTpw"},
                "bad.example":{"auth":"%%%"},
                "empty.example":{}
            },"HttpHeaders":{"a":"b"}}"#,
        )
        .unwrap();
        assert_eq!(config.source("docker.io", "library/x"), Some(password("u", "p:q")));
        assert_eq!(config.source("r.example:5000", "x"), Some(password("a", "b")));
        assert_eq!(
            config.source("q.example", "x"),
            Some(Source::Here(Credentials::Identity("refresh".into())))
        );
        assert_eq!(config.source("p.example", "team/one/x"), Some(password("x", "y")));
        assert_eq!(config.source("p.example", "team/other"), Some(password("u", "p")));
        assert_eq!(
            config.source("bad.example", "x"),
            Some(Source::Broken {
                key: "bad.example".into()
            })
        );
        assert_eq!(config.source("empty.example", "x"), None);
        assert_eq!(config.source("none.example", "x"), None);
    }

    #[test]
    fn helpers_come_before_the_file() {
        let config = DockerConfig::parse(
            br#"{"auths":{"g.example":{"auth":"dTpw"},"https://index.docker.io/v1/":{}},
                "credHelpers":{"g.example":"one"},"credsStore":"all"}"#,
        )
        .unwrap();
        let helper = |program: &str, server: &str| {
            Some(Source::Helper {
                program: program.into(),
                server: server.into(),
            })
        };
        assert_eq!(config.source("g.example", "x"), helper("one", "g.example"));
        assert_eq!(config.source("docker.io", "x"), helper("all", DOCKER_HUB));
        assert_eq!(config.source("h.example", "x"), helper("all", "h.example"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = DockerConfig::parse(br#"{"auths":{"a":{"auth":"dTpw"}}}"#).unwrap();
        assert!(!format!("{config:?}").contains("dTpw"));
        assert!(DockerConfig::parse(b"1").is_err());
    }

    #[test]
    fn nothing_is_no_damage() {
        for text in ["", "\n", r#"{"auths":null,"credHelpers":null,"credsStore":null}"#] {
            assert_eq!(DockerConfig::parse(text.as_bytes()).unwrap(), DockerConfig::default());
        }
    }
}
