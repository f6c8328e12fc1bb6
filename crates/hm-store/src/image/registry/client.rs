//! The HTTP client that all registries share.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy};

use super::authorities::client_config;
use super::{ProxySettings, RegistryError, RegistrySettings};

const AGENT: &str = concat!("hm/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 10;
/// How long a connection without a request is kept.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// A client with these settings. It reads nothing from the environment.
pub(in crate::image) fn http_client(settings: &RegistrySettings) -> Result<Client, RegistryError> {
    let mut builder = Client::builder()
        .user_agent(AGENT)
        .tls_backend_preconfigured(client_config(&settings.authorities)?)
        .connect_timeout(settings.timeouts.connect)
        .read_timeout(settings.timeouts.idle)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(redirects())
        .no_proxy();
    for proxy in proxies(&settings.proxies)? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(RegistryError::Client)
}

fn proxies(settings: &ProxySettings) -> Result<Vec<Proxy>, RegistryError> {
    let ProxySettings { https, http, none } = settings;
    let none = none.as_deref().and_then(NoProxy::from_string);
    let mut proxies = Vec::new();
    if let Some(url) = https.as_deref().filter(|url| !url.is_empty()) {
        proxies.push(Proxy::https(url).map_err(no_address(url))?);
    }
    if let Some(url) = http.as_deref().filter(|url| !url.is_empty()) {
        proxies.push(Proxy::http(url).map_err(no_address(url))?);
    }
    Ok(proxies.into_iter().map(|proxy| proxy.no_proxy(none.clone())).collect())
}

fn no_address(url: &str) -> impl FnOnce(reqwest::Error) -> RegistryError {
    |source| RegistryError::Address {
        what: "proxy",
        text: url.to_owned(),
        source: Some(source),
    }
}

/// Follows, but never out of TLS. The client itself sends credentials to no other host.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let was_safe = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if was_safe && attempt.url().scheme() != "https" {
            attempt.error("a redirection from https to http is not followed")
        } else if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirections")
        } else {
            attempt.follow()
        }
    })
}
