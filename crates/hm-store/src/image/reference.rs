//! References to images, as people write them (containers-transports(5)).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// Where an image is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ImageRef {
    /// `host`: this machine's own root file system.
    Host,
    /// `dir:PATH`: a folder that holds a root file system.
    Dir(PathBuf),
    /// `oci:DIR[:TAG]`: an OCI image layout.
    Oci(LocalSource),
    /// `oci-archive:FILE[:TAG]`: an OCI image layout in a tar archive.
    OciArchive(LocalSource),
    /// `docker-archive:FILE[:TAG]`: what `docker save` writes.
    DockerArchive(LocalSource),
    /// `docker-daemon:NAME`: an image of the local Docker engine.
    DockerDaemon(String),
    /// Anything else: an image of a registry.
    Registry(RegistryRef),
}

/// A path that may hold several images, and which one is meant.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LocalSource {
    /// The file or folder.
    pub path: PathBuf,
    /// The image's name inside.
    pub tag: Option<String>,
}

/// An image of a registry, with what the name leaves out filled in.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RegistryRef {
    /// Host name, and port if there is one.
    pub registry: String,
    /// The path in the registry.
    pub repository: String,
    /// The tag; `latest` where the name has neither tag nor digest.
    pub tag: Option<String>,
    /// `sha256:HEX`.
    pub digest: Option<String>,
}

/// A text that is no reference to an image.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{text:?} is not a reference to an image: {problem}")]
pub struct ImageRefError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: RefProblem,
}

/// What is wrong with a reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RefProblem {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// A transport without a path.
    #[error("the path is missing")]
    NoPath,
    /// The path of a registry's image has a character that none has.
    #[error("a name consists of lower-case letters, digits and `.`, `_`, `-`, with `/` between its parts")]
    Name,
    /// The tag has a character that none has.
    #[error("a tag consists of at most 128 letters, digits, `.`, `_` and `-`")]
    Tag,
    /// Not `sha256:` and 64 hexadecimal digits.
    #[error("a digest is sha256: and 64 lower-case hexadecimal digits")]
    Digest,
}

impl ImageRef {
    /// Reads a reference.
    pub fn parse(text: &str) -> Result<Self, ImageRefError> {
        let wrong = |problem| ImageRefError {
            text: text.to_owned(),
            problem,
        };
        let local = |rest: &str| LocalSource::parse(rest).map_err(wrong);
        if text.is_empty() {
            return Err(wrong(RefProblem::Empty));
        }
        if text == "host" {
            return Ok(Self::Host);
        }
        match text.split_once(':') {
            Some(("dir", "")) => Err(wrong(RefProblem::NoPath)),
            Some(("dir", path)) => Ok(Self::Dir(path.into())),
            Some(("oci", rest)) => Ok(Self::Oci(local(rest)?)),
            Some(("oci-archive", rest)) => Ok(Self::OciArchive(local(rest)?)),
            Some(("docker-archive", rest)) => Ok(Self::DockerArchive(local(rest)?)),
            Some(("docker-daemon", "")) => Err(wrong(RefProblem::NoPath)),
            Some(("docker-daemon", name)) => Ok(Self::DockerDaemon(name.to_owned())),
            Some(("docker", name)) if name.starts_with("//") => RegistryRef::parse(name.trim_start_matches('/'))
                .map(Self::Registry)
                .map_err(wrong),
            _ => RegistryRef::parse(text).map(Self::Registry).map_err(wrong),
        }
    }

    /// The same reference with a relative path taken from `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        let join = |source: LocalSource| LocalSource {
            path: base.join(source.path),
            tag: source.tag,
        };
        match self {
            Self::Dir(path) => Self::Dir(base.join(path)),
            Self::Oci(source) => Self::Oci(join(source)),
            Self::OciArchive(source) => Self::OciArchive(join(source)),
            Self::DockerArchive(source) => Self::DockerArchive(join(source)),
            other @ (Self::Host | Self::DockerDaemon(_) | Self::Registry(_)) => other,
        }
    }
}

impl LocalSource {
    /// The path ends at the first colon, as it does for other tools.
    fn parse(text: &str) -> Result<Self, RefProblem> {
        let (path, tag) = match text.split_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (text, None),
        };
        if path.is_empty() {
            return Err(RefProblem::NoPath);
        }
        Ok(Self {
            path: path.into(),
            tag: tag.filter(|tag| !tag.is_empty()),
        })
    }
}

impl RegistryRef {
    const DEFAULT_REGISTRY: &str = "docker.io";

    fn parse(text: &str) -> Result<Self, RefProblem> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(RefProblem::Digest);
        }
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(RefProblem::Tag);
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => (Self::DEFAULT_REGISTRY, name.to_owned()),
            None => (Self::DEFAULT_REGISTRY, format!("library/{name}")),
        };
        if !repository.split('/').all(is_name) || registry.is_empty() {
            return Err(RefProblem::Name);
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest: digest.map(str::to_owned),
        })
    }
}

fn is_name(part: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    part.bytes().all(inner) && outer(part.bytes().next()) && outer(part.bytes().last())
}

fn is_tag(tag: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(inner) && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digest
        .strip_prefix("sha256:")
        .is_some_and(|rest| rest.len() == 64 && rest.bytes().all(hex))
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        Self::parse(text)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Oci(source) => write!(f, "oci:{source}"),
            Self::OciArchive(source) => write!(f, "oci-archive:{source}"),
            Self::DockerArchive(source) => write!(f, "docker-archive:{source}"),
            Self::DockerDaemon(name) => write!(f, "docker-daemon:{name}"),
            Self::Registry(reference) => reference.fmt(f),
        }
    }
}

impl fmt::Display for LocalSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

impl fmt::Display for RegistryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn whole(text: &str) -> String {
        ImageRef::parse(text).unwrap().to_string()
    }

    #[test]
    fn local_forms() {
        assert_eq!(ImageRef::parse("host"), Ok(ImageRef::Host));
        assert_eq!(ImageRef::parse("dir:/a:b"), Ok(ImageRef::Dir("/a:b".into())));
        let tagged = LocalSource {
            path: "/a".into(),
            tag: Some("b:c".into()),
        };
        assert_eq!(ImageRef::parse("oci:/a:b:c"), Ok(ImageRef::Oci(tagged)));
        for text in [
            "oci:/a",
            "oci-archive:/a.tar",
            "oci-archive:/a.tar:t",
            "docker-archive:/a.tar",
            "docker-daemon:x:y",
        ] {
            assert_eq!(whole(text), text);
        }
        assert_eq!(
            ImageRef::parse("dir:r").unwrap().relative_to(Path::new("/w")),
            ImageRef::Dir("/w/r".into())
        );
    }

    #[test]
    fn names_of_registries_are_filled_in() {
        assert_eq!(whole("ubuntu"), "docker.io/library/ubuntu:latest");
        assert_eq!(whole("ubuntu:24.04"), "docker.io/library/ubuntu:24.04");
        assert_eq!(whole("o/i"), "docker.io/o/i:latest");
        assert_eq!(whole("localhost:5000/i:t"), "localhost:5000/i:t");
        assert_eq!(whole("docker://r.example/o/i"), "r.example/o/i:latest");
        let digest = format!("ghcr.io/o/i@sha256:{}", "a".repeat(64));
        assert_eq!(whole(&digest), digest);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let problem = |text: &str| ImageRef::parse(text).unwrap_err().problem;
        assert_eq!(problem(""), RefProblem::Empty);
        assert_eq!(problem("oci:"), RefProblem::NoPath);
        assert_eq!(problem("dir:"), RefProblem::NoPath);
        assert_eq!(problem("Ubuntu"), RefProblem::Name);
        assert_eq!(problem("a//b"), RefProblem::Name);
        assert_eq!(problem("a:b c"), RefProblem::Tag);
        assert_eq!(problem("a@sha256:12"), RefProblem::Digest);
    }
}
