//! What can go wrong with a registry.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;
use thiserror::Error;

use crate::error::{FileError, IndexError};
use crate::image::error::FULL_DISK;

/// An image could not be had from its registry.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The network must not be touched and the store doesn't hold the image.
    #[error("{reference} is not in the store, and the network must not be used")]
    Offline {
        /// The image.
        reference: String,
    },
    /// There is no such repository, tag or digest, or it is hidden from this user.
    #[error("{reference} does not exist, or {user} may not see it", user = user_text(*known))]
    NotFound {
        /// The image.
        reference: String,
        /// Credentials were sent.
        known: bool,
        /// What the registry said.
        source: AnswerError,
    },
    /// The digest that `.hm/images.lock` has is gone from the registry.
    #[error(".hm/images.lock asks for {reference} as {digest}, which its registry doesn't have")]
    PinGone {
        /// The image, without the digest.
        reference: String,
        /// The digest.
        digest: String,
        /// What the registry said.
        source: Box<RegistryError>,
    },
    /// The registry wants credentials, or others.
    #[error("{registry} does not let {user} read {reference}", user = user_text(*known))]
    Unauthorized {
        /// The registry.
        registry: String,
        /// The image.
        reference: String,
        /// Credentials were sent.
        known: bool,
        /// What the registry said.
        source: AnswerError,
    },
    /// The registry wants a way of proof that isn't known here.
    #[error("{registry} asks for a way to log in that hm does not know")]
    UnknownChallenge {
        /// The registry.
        registry: String,
    },
    /// The place that gives tokens is not safe to send a password to.
    #[error("{registry} gives out tokens at {realm}, which is not a https address")]
    UnsafeRealm {
        /// The registry.
        registry: String,
        /// The address.
        realm: String,
    },
    /// The answer of the place that gives tokens can't be read.
    #[error("the token that {realm} gave can't be read")]
    Token {
        /// The address.
        realm: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The registry wants fewer requests.
    #[error("{host} has refused for now: too many requests{}", wait_text(*wait))]
    RateLimited {
        /// The server.
        host: String,
        /// How long to wait, where it said so.
        wait: Option<Duration>,
        /// What it said.
        source: AnswerError,
    },
    /// The server answers with an error of its own.
    #[error("{host} failed")]
    Server {
        /// The server.
        host: String,
        /// What it said.
        source: AnswerError,
    },
    /// The server can't be reached, or the connection broke each time.
    #[error("{host} can't be reached{}", by_way_of(proxy.as_deref()))]
    Unreachable {
        /// The server.
        host: String,
        /// It is on this machine and was spoken to with TLS.
        plain: bool,
        /// Its certificate is of an authority that isn't trusted.
        unknown_authority: bool,
        /// The proxy that was asked.
        proxy: Option<String>,
        /// Why.
        source: reqwest::Error,
    },
    /// A layer's connection was cut again and again.
    #[error("{host} cut the download of {digest} after {got} of {size} bytes, {attempts} times without getting on")]
    Cut {
        /// The server.
        host: String,
        /// The layer.
        digest: String,
        /// Bytes that came.
        got: u64,
        /// Bytes that there are.
        size: u64,
        /// How often it was tried.
        attempts: u32,
        /// How it ended the last time.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Bytes are not those that were asked for.
    #[error("{reference}: the {what} that {host} sent has the digest {found}, not {expected}")]
    DigestMismatch {
        /// The image.
        reference: String,
        /// The server.
        host: String,
        /// What it is.
        what: &'static str,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// A mirror answers with something else.
    #[error("what {host} sent is no image manifest")]
    NoManifest {
        /// The mirror.
        host: String,
    },
    /// More bytes than the image says.
    #[error("{reference}: {host} sends more for the {what} {digest} than the {size} bytes that it has")]
    TooLong {
        /// The image.
        reference: String,
        /// The server.
        host: String,
        /// What it is.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// Its length.
        size: u64,
    },
    /// The server gave another part of a layer than the one that was asked for.
    #[error("{host} answered a request for bytes from {wanted} on with {found:?}")]
    WrongRange {
        /// The server.
        host: String,
        /// What was asked for.
        wanted: u64,
        /// The `Content-Range` of the answer.
        found: String,
    },
    /// A credential helper failed.
    #[error("the credentials for {registry} can't be had")]
    Helper {
        /// The registry.
        registry: String,
        /// Why.
        source: HelperError,
    },
    /// An entry of Docker's configuration can't be understood.
    #[error("the credentials for {key} in Docker's configuration are damaged")]
    BrokenCredentials {
        /// The entry.
        key: String,
    },
    /// A file with certificates can't be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A proxy or mirror is not given as an address.
    #[error("the {what} {text:?} is not an address")]
    Address {
        /// What it is for.
        what: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client can't be made")]
    Client(#[source] reqwest::Error),
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store's index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The download ended before its time.
    #[error("the download of {digest} was given up")]
    GivenUp {
        /// The layer.
        digest: String,
    },
}

/// An answer that is a refusal.
#[derive(Debug, Error)]
#[error("{url} answered {status}{}", said_text(said))]
pub struct AnswerError {
    /// What was asked for.
    pub url: String,
    /// The status.
    pub status: StatusCode,
    /// The messages of the body, where it holds some (distribution specification, "Error Codes").
    pub said: String,
}

/// Why certificates of authorities can't be had.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The file can't be read.
    #[error("the certificates in {} can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate is not one that can be trusted.
    #[error("{} holds a certificate that can't be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// There is nothing in the file.
    #[error("{} holds no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The TLS library doesn't take the settings.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// Why a credential helper gave nothing.
#[derive(Debug, Error)]
pub enum HelperError {
    /// No folder of PATH has it.
    #[error("{program} is not in any folder of PATH")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be started.
    #[error("{program} can't be started")]
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It said that it failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// Its name.
        program: String,
        /// What it printed.
        said: String,
    },
    /// It did not answer.
    #[error("{program} did not answer within {limit:?}")]
    Silent {
        /// Its name.
        program: String,
        /// How long it had.
        limit: Duration,
    },
    /// It says more than any credentials are long.
    #[error("{program} printed more than 1 MiB")]
    TooLong {
        /// Its name.
        program: String,
    },
    /// It answered something else than credentials.
    #[error("{program} gave an answer that can't be read")]
    Answer {
        /// Its name.
        program: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl RegistryError {
    /// A name for programs that never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Offline { .. } => "image_offline",
            Self::NotFound { .. } | Self::PinGone { .. } => "image_not_found",
            Self::Unauthorized { .. } => "registry_unauthorized",
            Self::UnknownChallenge { .. } | Self::UnsafeRealm { .. } | Self::Token { .. } => "registry_login",
            Self::RateLimited { .. } => "registry_rate_limited",
            Self::Server { .. } => "registry_failed",
            Self::Unreachable { .. } | Self::Cut { .. } => "registry_unreachable",
            Self::DigestMismatch { .. } => "image_digest_mismatch",
            Self::TooLong { .. } | Self::NoManifest { .. } | Self::WrongRange { .. } => "registry_protocol",
            Self::Helper { .. } | Self::BrokenCredentials { .. } => "registry_credentials",
            Self::Authority(_) | Self::Address { .. } | Self::Client(_) => "registry_settings",
            Self::File(_) | Self::Index(_) => "store_unavailable",
            Self::GivenUp { .. } => "image_given_up",
        }
    }

    /// What to do about it, in words or commands.
    pub fn fix(&self) -> Option<String> {
        let fix = match self {
            Self::Offline { reference } => format!("fetch it once, with a network: hm image pull {reference}"),
            Self::NotFound { reference, known: false, .. } => {
                format!("check the name; if the image is private: docker login {}", registry_of(reference))
            }
            Self::NotFound { .. } => "check the name and the tag".to_owned(),
            Self::PinGone { reference, .. } => format!("pin what the tag stands for today: hm image lock {reference}"),
            Self::Server { host, source } if source.status == StatusCode::BAD_REQUEST && source.url.starts_with("http:") => {
                format!("if the registry has TLS, take {host} out of sandbox.insecure_registries")
            }
            Self::File(error) if error.source.kind() == io::ErrorKind::StorageFull => FULL_DISK.to_owned(),
            Self::Unauthorized { registry, .. } => format!("check the name, or log in: docker login {registry}"),
            Self::RateLimited { .. } => {
                "wait, log in (docker login), or name a mirror in the configuration: sandbox.mirrors".to_owned()
            }
            Self::Server { .. } | Self::Cut { .. } => {
                "try again; a build whose images are in the store needs no registry: hm run --offline".to_owned()
            }
            Self::Unreachable { host, plain: true, .. } => {
                format!("if the registry has no TLS: sandbox.insecure_registries = [\"{host}\"]")
            }
            Self::Unreachable { unknown_authority: true, .. } => {
                "if its authority is one of yours, name the file with its certificate: sandbox.ca_files = [\"/path/to/ca.pem\"]"
                    .to_owned()
            }
            Self::Unreachable { host, proxy: Some(proxy), .. } => {
                format!("check the proxy {proxy} (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY), or name {host} in NO_PROXY")
            }
            Self::Unreachable { .. } => {
                "check the network and HTTPS_PROXY; a build whose images are in the store needs neither: hm run --offline"
                    .to_owned()
            }
            Self::DigestMismatch { .. } | Self::TooLong { .. } | Self::NoManifest { .. } => {
                "the registry or something between it and here is broken: try another network or mirror".to_owned()
            }
            Self::Helper { source: HelperError::Missing { program }, .. } => {
                format!("install {program}, or take the entry out of Docker's config.json")
            }
            Self::Helper { registry, .. } => format!("docker login {registry}"),
            Self::BrokenCredentials { key } => format!("docker login {key}"),
            Self::UnknownChallenge { .. }
            | Self::UnsafeRealm { .. }
            | Self::Token { .. }
            | Self::WrongRange { .. }
            | Self::Authority(_)
            | Self::Address { .. }
            | Self::Client(_)
            | Self::File(_)
            | Self::Index(_)
            | Self::GivenUp { .. } => return None,
        };
        Some(fix)
    }
}

fn registry_of(reference: &str) -> &str {
    reference.split_once('/').map_or(reference, |(registry, _)| registry)
}

fn user_text(known: bool) -> &'static str {
    if known {
        "this user"
    } else {
        "someone who isn't logged in"
    }
}

fn wait_text(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!(" (it asks to wait {} s)", wait.as_secs()))
}

fn by_way_of(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" by way of the proxy {proxy}"))
}

fn said_text(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}
