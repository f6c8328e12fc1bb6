//! One repository, as it is read from its servers.

use std::sync::Arc;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RANGE};
use reqwest::{Client, Method, Response, StatusCode};

use super::answer::{Failure, body, refusal};
use super::challenge;
use super::endpoint::Endpoint;
use super::login::{Asker, Proof};
use super::progress::in_one_line;
use super::retry::Attempts;
use super::{PullEvent, PullObserver, RegistryError, RegistrySettings, RetrySettings};
use crate::ids::ImageDigest;
use crate::image::RegistryRef;
use crate::image::digest::sha256;
use crate::image::documents::Node;
use crate::store::Store;

/// Greatest length of a manifest or configuration in bytes.
const MAX_DOCUMENT: usize = 16 << 20;
/// What manifests may be: the two of Docker, the two of the OCI.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Attempts at a mirror: the next server is at hand.
const MIRROR_ATTEMPTS: u32 = 2;
/// Attempts at a server that can't be reached at all.
const UNREACHED_ATTEMPTS: u32 = 3;

/// A repository; shared by the downloads of one pull.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) client: Client,
    pub(super) settings: Arc<RegistrySettings>,
    pub(super) reference: RegistryRef,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) store: Store,
    /// The reference as it is told to the observer.
    pub(super) name: String,
    pub(super) observer: Arc<dyn PullObserver>,
}

/// A request of one server.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) accept: Option<&'static str>,
    /// From this byte on.
    pub(super) from: u64,
}

/// A document, checked.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: ImageDigest,
}

impl Repository {
    pub(super) fn tell(&self, event: PullEvent<'_>) {
        self.observer.event(&self.name, event);
    }

    /// The digest that a tag stands for, without its manifest; `None` where a server doesn't tell it this way.
    pub(super) async fn digest_of_tag(&self, tag: &str) -> Result<Option<ImageDigest>, RegistryError> {
        let path = format!("manifests/{tag}");
        let ask = Ask {
            method: Method::HEAD,
            path: &path,
            accept: Some(MANIFESTS),
            from: 0,
        };
        match self.ask_all(&ask).await {
            Ok((response, _)) => Ok(content_digest(response.headers())),
            Err(RegistryError::Server { source, .. }) if source.status == StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A manifest, by its tag or digest.
    pub(super) async fn manifest(&self, name: &str) -> Result<Document, RegistryError> {
        let path = format!("manifests/{name}");
        self.document(&path, Some(MANIFESTS), "manifest", name.parse().ok())
            .await
    }

    /// A configuration.
    pub(super) async fn configuration(&self, digest: &ImageDigest) -> Result<Document, RegistryError> {
        self.document(&format!("blobs/{digest}"), None, "configuration", Some(*digest))
            .await
    }

    async fn document(
        &self,
        path: &str,
        accept: Option<&'static str>,
        what: &'static str,
        expected: Option<ImageDigest>,
    ) -> Result<Document, RegistryError> {
        let ask = Ask {
            method: Method::GET,
            path,
            accept,
            from: 0,
        };
        let (last, mirrors) = self.servers();
        for mirror in mirrors {
            match self.document_of(mirror, &ask, what, expected).await {
                Ok(document) => return Ok(document),
                Err(error) => self.mirror_failed(mirror, &error),
            }
        }
        self.document_of(last, &ask, what, expected).await
    }

    async fn document_of(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
        what: &'static str,
        expected: Option<ImageDigest>,
    ) -> Result<Document, RegistryError> {
        let mut attempts = self.attempts_at(endpoint);
        let (told, bytes) = loop {
            let response = self.ask_often(endpoint, ask).await?;
            let told = ask.accept.and_then(|_| content_digest(response.headers()));
            match body(response, MAX_DOCUMENT + 1).await {
                Ok(bytes) => break (told, bytes),
                Err(error) => {
                    let failure =
                        Failure::unreachable(&endpoint.name, endpoint.with_tls, &self.settings.proxies, error);
                    self.wait(failure, &mut attempts).await?;
                }
            }
        };
        if bytes.len() > MAX_DOCUMENT {
            return Err(RegistryError::TooLong {
                reference: self.reference.to_string(),
                host: endpoint.name.clone(),
                what,
                digest: ask.path.to_owned(),
                size: MAX_DOCUMENT as u64,
            });
        }
        let found = sha256(&bytes);
        if let Some(expected) = expected.or(told).filter(|expected| *expected != found) {
            return Err(self.mismatch(endpoint, what, &expected, &found));
        }
        // What the registry itself calls a manifest is looked at by whoever asked for it.
        if endpoint.is_mirror && ask.accept.is_some() && !is_manifest(&bytes) {
            let host = endpoint.name.clone();
            return Err(RegistryError::NoManifest { host });
        }
        Ok(Document { bytes, digest: found })
    }

    pub(super) fn mismatch(
        &self,
        endpoint: &Endpoint,
        what: &'static str,
        expected: &ImageDigest,
        found: &ImageDigest,
    ) -> RegistryError {
        RegistryError::DigestMismatch {
            reference: self.reference.to_string(),
            host: endpoint.name.clone(),
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// The registry itself, and the mirrors that are asked before it.
    fn servers(&self) -> (&Endpoint, &[Endpoint]) {
        self.endpoints
            .split_last()
            .expect("the registry itself is always among them")
    }

    /// Asks the servers one after the other, each as often as it is worth.
    async fn ask_all(&self, ask: &Ask<'_>) -> Result<(Response, &Endpoint), RegistryError> {
        let (last, mirrors) = self.servers();
        for mirror in mirrors {
            match self.ask_often(mirror, ask).await {
                Ok(response) => return Ok((response, mirror)),
                Err(error) => self.mirror_failed(mirror, &error),
            }
        }
        Ok((self.ask_often(last, ask).await?, last))
    }

    async fn ask_often(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Response, RegistryError> {
        let mut attempts = self.attempts_at(endpoint);
        loop {
            match self.ask_once(endpoint, ask).await {
                Ok(response) => return Ok(response),
                Err(failure) => self.wait(failure, &mut attempts).await?,
            }
        }
    }

    pub(super) fn attempts_at(&self, endpoint: &Endpoint) -> Attempts {
        let retry = self.settings.retry;
        let attempts = if endpoint.is_mirror {
            retry.attempts.min(MIRROR_ATTEMPTS)
        } else {
            retry.attempts
        };
        Attempts::new(RetrySettings { attempts, ..retry })
    }

    pub(super) fn mirror_failed(&self, mirror: &Endpoint, error: &RegistryError) {
        let problem = in_one_line(error);
        self.tell(PullEvent::MirrorFailed {
            mirror: &mirror.name,
            problem,
        });
    }

    /// Waits until the next attempt, or gives the error back.
    pub(super) async fn wait(&self, failure: Failure, attempts: &mut Attempts) -> Result<(), RegistryError> {
        let Failure {
            error,
            passing,
            asked,
            unreached,
        } = failure;
        if !passing || unreached && attempts.made() + 1 >= UNREACHED_ATTEMPTS {
            return Err(error);
        }
        let Some(after) = attempts.failed(asked) else {
            return Err(error);
        };
        self.tell(PullEvent::Retry {
            problem: in_one_line(&error),
            after,
        });
        tokio::time::sleep(after).await;
        Ok(())
    }

    /// One request, and one more with a new proof of who asks where the first is refused.
    pub(super) async fn ask_once(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Response, Failure> {
        let asker = Asker {
            client: &self.client,
            settings: &self.settings,
            server: &endpoint.name,
            with_tls: endpoint.with_tls,
            reference: &self.reference,
            now: self.store.now(),
        };
        let mut proof = endpoint.login.proof().await;
        let mut response = self.send(endpoint, ask, &proof).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let Some(challenge) = challenge::read(response.headers()) else {
                return Err(RegistryError::UnknownChallenge {
                    registry: endpoint.name.clone(),
                }
                .into());
            };
            proof = endpoint.login.renew(&proof, &challenge, asker).await?;
            response = self.send(endpoint, ask, &proof).await?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(
            response,
            &endpoint.name,
            &endpoint.name,
            &self.reference,
            proof.known,
            self.store.now(),
        )
        .await)
    }

    async fn send(&self, endpoint: &Endpoint, ask: &Ask<'_>, proof: &Proof) -> Result<Response, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = ask.accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if ask.from > 0 {
            let range = format!("bytes={}-", ask.from);
            headers.insert(RANGE, HeaderValue::try_from(range).expect("digits are a valid header"));
        }
        if let Some(header) = &proof.header {
            headers.insert(AUTHORIZATION, header.clone());
        }
        let request = self
            .client
            .request(ask.method.clone(), endpoint.url(ask.path))
            .headers(headers);
        request
            .send()
            .await
            .map_err(|error| Failure::unreachable(&endpoint.name, endpoint.with_tls, &self.settings.proxies, error))
    }
}

fn is_manifest(bytes: &[u8]) -> bool {
    let node = serde_json::from_slice::<Node>(bytes);
    node.is_ok_and(|node| node.manifests.is_some() || node.config.is_some() && node.layers.is_some())
}

fn content_digest(headers: &HeaderMap) -> Option<ImageDigest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}
