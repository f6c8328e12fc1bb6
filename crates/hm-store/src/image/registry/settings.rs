//! What the client is told by whoever has read the environment and the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::DockerConfig;

/// How registries are reached.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RegistrySettings {
    /// User names, passwords and credential helpers.
    pub credentials: DockerConfig,
    /// Folders to look for `docker-credential-*` in, in the form of `PATH`; that of this process where absent.
    pub helper_path: Option<OsString>,
    /// Proxies.
    pub proxies: ProxySettings,
    /// Files with certificates of authorities to trust, PEM.
    pub authorities: AuthoritySettings,
    /// By registry, what to ask first: `HOST[:PORT][/PREFIX]`, with `http://` before it where it has no TLS. The
    /// registry itself comes last.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries (`HOST[:PORT]`) that are spoken to without TLS.
    pub insecure: BTreeSet<String>,
    /// What to do about answers that may be better the next time.
    pub retry: RetrySettings,
    /// Time limits.
    pub timeouts: TimeoutSettings,
    /// Layers of one image that are downloaded at once; 4 where absent.
    pub parallel_downloads: Option<std::num::NonZeroUsize>,
}

/// The proxies of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, as URLs and as a list with commas.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ProxySettings {
    /// For registries with TLS.
    pub https: Option<String>,
    /// For those without.
    pub http: Option<String>,
    /// Hosts, domains and networks that are reached directly.
    pub none: Option<String>,
}

impl ProxySettings {
    /// The proxy that a host is asked through, without the password that may be part of its address; `None` also where
    /// the list of exceptions holds networks, which may be the host's.
    pub(super) fn of(&self, host: &str, with_tls: bool) -> Option<String> {
        let url = if with_tls { &self.https } else { &self.http };
        let url = url.as_deref().filter(|url| !url.is_empty())?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let excepts = |entry: &str| {
            let entry = entry.trim().trim_start_matches('.');
            let is_domain = || name.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.'));
            entry.contains('/') || entry == "*" || entry == name || (!entry.is_empty() && is_domain())
        };
        if self.none.as_deref().is_some_and(|none| none.split(',').any(excepts)) {
            return None;
        }
        let shown = match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
            (None, Some((_, rest))) => rest.to_owned(),
            (_, None) => url.to_owned(),
        };
        Some(shown)
    }
}

/// Which authorities' certificates are trusted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AuthoritySettings {
    /// Instead of the machine's own (`SSL_CERT_FILE`).
    pub instead: Option<PathBuf>,
    /// Besides them.
    pub extra: Vec<PathBuf>,
}

/// How often and how soon something is tried again. A download that got on begins anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetrySettings {
    /// How often in all.
    pub attempts: u32,
    /// Before the second attempt; doubled with each further one.
    pub first_delay: Duration,
    /// The longest wait. A server that asks for a longer one has refused.
    pub longest_delay: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_mins(2),
        }
    }
}

/// Time limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeoutSettings {
    /// To reach a server.
    pub connect: Duration,
    /// Without a byte from it.
    pub idle: Duration,
    /// For a credential helper to answer.
    pub helper: Duration,
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_mins(1),
            helper: Duration::from_mins(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_of_a_host_is_known() {
        let proxies = ProxySettings {
            https: Some("http://me:secret@proxy:3128".into()),
            http: None,
            none: Some("localhost, .inside.example,r.example".into()),
        };
        let of = |host: &str| proxies.of(host, true);
        assert_eq!(of("a.example").as_deref(), Some("http://proxy:3128"));
        assert_eq!(of("other.r.example:5000"), None);
        assert_eq!(of("xr.example:5000").as_deref(), Some("http://proxy:3128"));
        for host in ["localhost:5000", "a.inside.example", "r.example:443"] {
            assert_eq!(of(host), None, "{host}");
        }
        assert_eq!(proxies.of("a.example", false), None);
    }
}
