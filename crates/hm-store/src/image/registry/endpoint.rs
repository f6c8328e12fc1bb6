//! Where a repository is asked for: the mirrors of its registry, then the registry itself.

use reqwest::Url;

use super::login::Login;
use super::{RegistryError, RegistrySettings};
use crate::image::RegistryRef;

/// Where Docker's own registry answers.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// One server that may have a repository.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The name that its credentials are filed under.
    pub(super) name: String,
    /// `SCHEME://HOST[:PORT][/PREFIX]/v2/REPOSITORY`.
    base: String,
    pub(super) with_tls: bool,
    pub(super) is_mirror: bool,
    pub(super) login: Login,
}

impl Endpoint {
    /// All of them, in the order in which they are asked.
    pub(super) fn all(reference: &RegistryRef, settings: &RegistrySettings) -> Result<Vec<Self>, RegistryError> {
        let RegistryRef {
            registry, repository, ..
        } = reference;
        let mirrors = settings.mirrors.get(registry).into_iter().flatten();
        let mut all = mirrors
            .map(|text| Self::mirror(text, repository, settings))
            .collect::<Result<Vec<_>, _>>()?;
        let host = if registry == "docker.io" {
            DOCKER_HUB_HOST
        } else {
            registry
        };
        all.push(Self::new(
            registry,
            host,
            !settings.insecure.contains(registry),
            repository,
            false,
        )?);
        Ok(all)
    }

    fn mirror(text: &str, repository: &str, settings: &RegistrySettings) -> Result<Self, RegistryError> {
        let (rest, plain) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => (text, false),
        };
        let rest = rest.trim_end_matches('/');
        let name = rest.split('/').next().unwrap_or(rest);
        let with_tls = !plain && !settings.insecure.contains(name);
        Self::new(name, rest, with_tls, repository, true)
    }

    fn new(name: &str, place: &str, with_tls: bool, repository: &str, is_mirror: bool) -> Result<Self, RegistryError> {
        let scheme = if with_tls { "https" } else { "http" };
        let base = format!("{scheme}://{place}/v2/{repository}");
        let is_address = Url::parse(&base).is_ok_and(|url| url.host_str().is_some() && url.username().is_empty());
        if !is_address {
            let what = if is_mirror { "mirror" } else { "registry" };
            return Err(RegistryError::Address {
                what,
                text: place.to_owned(),
                source: None,
            });
        }
        Ok(Self {
            name: name.to_owned(),
            base,
            with_tls,
            is_mirror,
            login: Login::default(),
        })
    }

    /// The address of a manifest or blob.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageRef;

    fn urls(text: &str, settings: &RegistrySettings) -> Vec<String> {
        let ImageRef::Registry(reference) = ImageRef::parse(text).unwrap() else {
            panic!("{text}")
        };
        let all = Endpoint::all(&reference, settings).unwrap();
        all.iter().map(|endpoint| endpoint.url("x")).collect()
    }

    #[test]
    fn mirrors_come_first() {
        let settings = RegistrySettings {
            mirrors: [
                (
                    "docker.io".to_owned(),
                    vec!["m.example/hub".to_owned(), "http://n.example:5000/".to_owned()],
                ),
                ("other.example".to_owned(), vec!["never.example".to_owned()]),
            ]
            .into(),
            insecure: ["plain.example".to_owned()].into(),
            ..RegistrySettings::default()
        };
        assert_eq!(
            urls("ubuntu", &settings),
            [
                "https://m.example/hub/v2/library/ubuntu/x",
                "http://n.example:5000/v2/library/ubuntu/x",
                "https://registry-1.docker.io/v2/library/ubuntu/x"
            ]
        );
        assert_eq!(
            urls("plain.example/a/b:t", &settings),
            ["http://plain.example/v2/a/b/x"]
        );
    }

    #[test]
    fn a_mirror_that_is_no_address_is_refused() {
        let settings = RegistrySettings {
            mirrors: [("docker.io".to_owned(), vec!["a b".to_owned()])].into(),
            ..RegistrySettings::default()
        };
        let ImageRef::Registry(reference) = ImageRef::parse("ubuntu").unwrap() else {
            panic!()
        };
        assert!(Endpoint::all(&reference, &settings).is_err());
    }
}
