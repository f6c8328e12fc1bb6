//! Answers that are refusals, and whether to ask again.

use std::error::Error;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Response, StatusCode};
use rustls::CertificateError;
use serde::Deserialize;

use super::error::AnswerError;
use super::retry::{is_passing, retry_after};
use super::{ProxySettings, RegistryError};
use crate::image::RegistryRef;

/// What of a refusal's body is read.
const MAX_REFUSAL: usize = 64 << 10;
/// What of a body that isn't the specification's is shown, in characters.
const SHOWN: usize = 200;

/// One attempt that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: RegistryError,
    /// It may succeed the next time.
    pub(super) passing: bool,
    /// What the server asked to wait.
    pub(super) asked: Option<Duration>,
    /// The server was never reached.
    pub(super) unreached: bool,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self {
            error,
            passing: false,
            asked: None,
            unreached: false,
        }
    }
}

impl Failure {
    /// The server has no such part of what it was asked for, or knows of none.
    pub(super) fn is_refused_range(&self) -> bool {
        matches!(&self.error, RegistryError::Server { source, .. } if source.status == StatusCode::RANGE_NOT_SATISFIABLE)
    }

    pub(super) fn unreachable(host: &str, with_tls: bool, proxies: &ProxySettings, error: reqwest::Error) -> Self {
        let tls = tls_error(&error);
        let unknown_issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let unknown_authority = tls == Some(&unknown_issuer);
        let proxy = proxies.of(host, with_tls);
        // What a server without TLS answers is no TLS message.
        let plain = with_tls && matches!(tls, Some(rustls::Error::InvalidMessage(_)));
        let passing = tls.is_none() && !error.is_builder() && !error.is_redirect();
        let unreached = error.is_connect();
        let source = error.without_url();
        Self {
            error: RegistryError::Unreachable {
                host: host.to_owned(),
                plain,
                unknown_authority,
                proxy,
                source,
            },
            passing,
            asked: None,
            unreached,
        }
    }
}

/// Reads an answer that isn't a success.
pub(super) async fn refusal(
    response: Response,
    host: &str,
    registry: &str,
    reference: &RegistryRef,
    known: bool,
    now: Timestamp,
) -> Failure {
    let status = response.status();
    let asked = retry_after(response.headers(), now);
    let mut url = response.url().clone();
    url.set_query(None);
    let bytes = body(response, MAX_REFUSAL).await.unwrap_or_default();
    let source = AnswerError {
        url: url.to_string(),
        status,
        said: said(&bytes),
    };
    let (host, registry, reference) = (host.to_owned(), registry.to_owned(), reference.to_string());
    let error = match status {
        StatusCode::NOT_FOUND => RegistryError::NotFound {
            reference,
            known,
            source,
        },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Unauthorized {
            registry,
            reference,
            known,
            source,
        },
        StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited {
            host,
            wait: asked,
            source,
        },
        _ => RegistryError::Server { host, source },
    };
    Failure {
        error,
        passing: is_passing(status),
        asked,
        unreached: false,
    }
}

/// The body, cut off at the limit.
pub(super) async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            bytes.truncate(limit);
            break;
        }
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    errors: Vec<Entry>,
    #[serde(default)]
    details: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn said(bytes: &[u8]) -> String {
    if let Ok(Envelope { errors, details }) = serde_json::from_slice(bytes) {
        let texts = errors
            .into_iter()
            .map(|Entry { code, message }| if message.is_empty() { code } else { message });
        return texts.chain(details).collect::<Vec<_>>().join("; ");
    }
    let text = String::from_utf8_lossy(bytes);
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    if first.starts_with('<') {
        String::new()
    } else {
        first.chars().take(SHOWN).collect()
    }
}

/// The TLS error that an error comes from.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // Its `source` leaves out what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped as &(dyn Error + 'static)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_told_in_short() {
        assert_eq!(
            said(br#"{"errors":[{"code":"X","message":"no"},{"code":"Y"}]}"#),
            "no; Y"
        );
        assert_eq!(
            said(br#"{"details":"incorrect username or password"}"#),
            "incorrect username or password"
        );
        assert_eq!(said(b"\n plain\nmore"), "plain");
        assert_eq!(said(b"<html>"), "");
    }
}
