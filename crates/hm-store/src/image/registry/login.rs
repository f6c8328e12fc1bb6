//! Proving to one server who asks: Basic (RFC 7617) and the tokens of the distribution project's "Token Authentication
//! Specification", for one repository.

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::{Failure, refusal};
use super::challenge::Challenge;
use super::docker_config::{Credentials, Source};
use super::{RegistryError, RegistrySettings, helper};
use crate::image::RegistryRef;

/// Who this program says it is where tokens are given for other tokens.
const CLIENT_ID: &str = "hm";
/// Greatest length of a token's answer in bytes.
const MAX_TOKEN: usize = 1 << 20;

/// What has been proven so far.
#[derive(Default, Debug)]
pub(super) struct Login {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts the headers: one who was refused with an older one takes the newer.
    generation: u64,
    header: Option<HeaderValue>,
    credentials: Credential,
}

/// What is known of the user's credentials, which are asked for once.
#[derive(Clone, Default)]
enum Credential {
    #[default]
    NotAsked,
    None,
    Some(Credentials),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// What to send.
#[derive(Clone)]
pub(super) struct Proof {
    pub(super) header: Option<HeaderValue>,
    generation: u64,
    /// Credentials are part of it.
    pub(super) known: bool,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Whom the proof is for.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a RegistrySettings,
    pub(super) server: &'a str,
    pub(super) with_tls: bool,
    pub(super) reference: &'a RegistryRef,
    pub(super) now: Timestamp,
}

impl Login {
    /// What was last proven with.
    pub(super) async fn proof(&self) -> Proof {
        self.state.lock().await.proof()
    }

    /// A new proof, after `refused` was refused with `challenge`.
    pub(super) async fn renew(
        &self,
        refused: &Proof,
        challenge: &Challenge,
        asker: Asker<'_>,
    ) -> Result<Proof, Failure> {
        let mut state = self.state.lock().await;
        if state.generation != refused.generation {
            return Ok(state.proof());
        }
        let credentials = state.credentials(asker).await?;
        let header = match challenge {
            Challenge::Basic => credentials.as_ref().and_then(basic),
            Challenge::Bearer { realm, service, scope } => {
                let token = match &credentials {
                    Some(Credentials::Token(token)) => token.clone(),
                    _ => {
                        asker
                            .token(realm, service.as_deref(), scope.as_deref(), credentials.as_ref())
                            .await?
                    }
                };
                header(&format!("Bearer {token}"))
            }
        };
        state.generation += 1;
        state.header = header;
        Ok(state.proof())
    }
}

impl State {
    fn proof(&self) -> Proof {
        Proof {
            header: self.header.clone(),
            generation: self.generation,
            known: matches!(self.credentials, Credential::Some(_)),
        }
    }

    async fn credentials(&mut self, asker: Asker<'_>) -> Result<Option<Credentials>, RegistryError> {
        if let Credential::NotAsked = self.credentials {
            self.credentials = asker.credentials().await?.map_or(Credential::None, Credential::Some);
        }
        Ok(match &self.credentials {
            Credential::NotAsked | Credential::None => None,
            Credential::Some(credentials) => Some(credentials.clone()),
        })
    }
}

impl RegistrySettings {
    /// The user's credentials for a repository, as Docker's configuration has them or as a credential helper gives them.
    ///
    /// # Errors
    /// They are damaged, or the helper fails.
    pub async fn credentials_for(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, RegistryError> {
        match self.credentials.source(registry, repository) {
            None => Ok(None),
            Some(Source::Here(credentials)) => Ok(Some(credentials)),
            Some(Source::Broken { key }) => Err(RegistryError::BrokenCredentials { key }),
            Some(Source::Helper { program, server }) => {
                let path = self.helper_path.as_deref();
                let asked = helper::ask(&program, &server, path, self.timeouts.helper);
                asked.await.map_err(|source| RegistryError::Helper {
                    registry: registry.to_owned(),
                    source,
                })
            }
        }
    }
}

impl Asker<'_> {
    async fn credentials(&self) -> Result<Option<Credentials>, RegistryError> {
        let repository = &self.reference.repository;
        self.settings.credentials_for(self.server, repository).await
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        credentials: Option<&Credentials>,
    ) -> Result<String, Failure> {
        // A registry with TLS must not have passwords sent in the clear.
        let is_safe = Url::parse(realm).is_ok_and(|url| url.scheme() == "https" || !self.with_tls);
        if !is_safe {
            let (registry, realm) = (self.server.to_owned(), realm.to_owned());
            return Err(RegistryError::UnsafeRealm { registry, realm }.into());
        }
        let own_scope = format!("repository:{}:pull", self.reference.repository);
        let mut query = vec![("scope", scope.unwrap_or(&own_scope))];
        query.extend(service.map(|service| ("service", service)));
        let request = match credentials {
            Some(Credentials::Identity(token)) => {
                query.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", CLIENT_ID),
                    ("refresh_token", token),
                ]);
                self.client.post(realm).form(&query)
            }
            Some(Credentials::Password { user, password }) => {
                self.client.get(realm).query(&query).basic_auth(user, Some(password))
            }
            Some(Credentials::Token(_)) | None => self.client.get(realm).query(&query),
        };
        let host = Url::parse(realm)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default();
        let response = request
            .send()
            .await
            .map_err(|error| Failure::unreachable(&host, self.with_tls, &self.settings.proxies, error))?;
        if !response.status().is_success() {
            return Err(refusal(
                response,
                &host,
                self.server,
                self.reference,
                credentials.is_some(),
                self.now,
            )
            .await);
        }
        let bytes = super::answer::body(response, MAX_TOKEN)
            .await
            .map_err(|error| Failure::unreachable(&host, self.with_tls, &self.settings.proxies, error))?;
        let unreadable = |source| RegistryError::Token {
            realm: realm.to_owned(),
            source,
        };
        let Token { token, access_token } = serde_json::from_slice(&bytes).map_err(unreadable)?;
        token.or(access_token).ok_or_else(|| {
            let missing = serde::de::Error::missing_field("token");
            unreadable(missing).into()
        })
    }
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    match credentials {
        Credentials::Password { user, password } => {
            header(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        }
        Credentials::Identity(_) => None,
        Credentials::Token(token) => header(&format!("Bearer {token}")),
    }
}

fn header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
