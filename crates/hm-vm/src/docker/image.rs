//! Images of the engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use bollard::auth::DockerCredentials;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use hm_store::ImageRef;
use hm_store::image::{Credentials, RegistryRef};

use super::error::DockerError;
use super::record::Base;
use super::shared::Shared;
use crate::machine::{ImageConfig, VmError};

/// Kinds of images that other backends have.
const FOREIGN: [&str; 4] = ["dir:", "oci:", "oci-archive:", "docker-archive:"];

/// What machines of an image need.
#[derive(Clone, Debug)]
pub(super) struct DockerImage {
    /// Full id of the engine's image.
    pub(super) id: String,
    pub(super) base: Base,
    pub(super) depth: usize,
    pub(super) config: ImageConfig,
    /// For the log of each step.
    pub(super) notes: Vec<String>,
}

impl Shared {
    /// Looks an image up, or pulls it where the engine doesn't have it.
    pub(super) async fn find_image(&self, name: &str) -> Result<DockerImage, VmError> {
        let failed = |error: DockerError| VmError::Image {
            image: name.to_owned(),
            fix: None,
            source: Arc::new(error),
        };
        if name == "host" || FOREIGN.iter().any(|kind| name.starts_with(kind)) {
            return Err(failed(DockerError::ImageKind { image: name.to_owned() }));
        }
        let found = if let Some(found) = self.inspect(name).await.map_err(failed)? {
            found
        } else {
            self.pull(name).await?;
            let pulled = self.inspect(name).await.map_err(failed)?;
            pulled.ok_or_else(|| {
                failed(DockerError::Answer {
                    what: "an image that it pulled",
                })
            })?
        };
        self.understand(name, found).await
    }

    async fn understand(&self, name: &str, found: ImageInspect) -> Result<DockerImage, VmError> {
        let failed = |what| VmError::Image {
            image: name.to_owned(),
            fix: None,
            source: Arc::new(DockerError::Answer { what }),
        };
        let id = found.id.ok_or_else(|| failed("the id of an image"))?;
        let digest = id.parse().map_err(|_| failed("the id of an image as a digest"))?;
        let config = found.config.unwrap_or_default();
        let env = config.env.unwrap_or_default();
        let env: Vec<(String, String)> = env
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let user = config.user.unwrap_or_default();
        let identity = self.identify(&id, &user).await?;
        let (os, arch) = (found.os.unwrap_or_default(), found.architecture.unwrap_or_default());
        let mut notes = Vec::new();
        if (&os, &arch) != (&self.os, &self.arch) {
            notes.push(format!(
                "warning: the image {name} is for {os}/{arch}, and the engine runs on {}/{}",
                self.os, self.arch
            ));
        }
        let volumes = config.volumes.filter(|volumes| !volumes.is_empty());
        if let Some(volumes) = &volumes {
            notes.push(format!(
                "warning: the image {name} declares volumes ({}): what steps write there is not kept",
                volumes.join(", ")
            ));
        }
        let layers = found.root_fs.and_then(|files| files.layers).unwrap_or_default();
        Ok(DockerImage {
            config: ImageConfig {
                env: env.clone(),
                user: Some(user.clone()).filter(|user| !user.is_empty()),
                working_dir: config.working_dir.filter(|folder| !folder.is_empty()),
            },
            base: Base {
                digest,
                env,
                user,
                uid: identity.uid,
                gid: identity.gid,
                home: identity.home,
                has_volumes: volumes.is_some(),
            },
            depth: layers.len(),
            id,
            notes,
        })
    }

    pub(super) async fn inspect(&self, image: &str) -> Result<Option<ImageInspect>, DockerError> {
        let found = self.docker.inspect_image(image).await;
        match found.map_err(DockerError::engine("look an image up")) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pull(&self, name: &str) -> Result<(), VmError> {
        let reference = name.parse::<ImageRef>();
        let registry = match reference {
            Ok(ImageRef::Registry(reference)) => Some(reference),
            _ => None,
        };
        let login = match &registry {
            Some(RegistryRef {
                registry, repository, ..
            }) => {
                let credentials = self.registries.credentials_for(registry, repository).await;
                credentials.map_err(|error| VmError::Image {
                    image: name.to_owned(),
                    fix: error.fix(),
                    source: Arc::new(error),
                })?
            }
            None => None,
        };
        let server = registry.map_or_else(String::new, |reference| reference.registry);
        let pulled = self
            .pull_with(name, login.map(|login| credentials(login, &server)))
            .await;
        pulled.map_err(|error| VmError::Image {
            image: name.to_owned(),
            fix: error.is_refused_login().then(|| format!("docker login {server}")),
            source: Arc::new(error),
        })
    }

    /// Pulls exactly one tag: without one, the engine would take all.
    async fn pull_with(&self, name: &str, login: Option<DockerCredentials>) -> Result<(), DockerError> {
        let options = CreateImageOptionsBuilder::default();
        let options = match exact(name) {
            (name, Some(tag)) => options.from_image(name).tag(tag),
            (name, None) => options.from_image(name),
        };
        let note = |text: String| {
            if let Some(observer) = &self.observer {
                observer.note(&text);
            }
        };
        note(format!("pulling {name} by the engine"));
        let mut layers = Layers::default();
        let mut progress = self.docker.create_image(Some(options.build()), None, login);
        while let Some(told) = progress.next().await {
            let CreateImageInfo { id, status, .. } = told.map_err(DockerError::engine("pull the image"))?;
            if let Some(text) = layers.told(id, status.as_deref().unwrap_or_default()) {
                note(text);
            }
        }
        Ok(())
    }
}

/// In the engine's words.
fn credentials(of: Credentials, server: &str) -> DockerCredentials {
    let told = DockerCredentials {
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    };
    match of {
        Credentials::Password { user, password } => DockerCredentials {
            username: Some(user),
            password: Some(password),
            ..told
        },
        Credentials::Identity(token) => DockerCredentials {
            identitytoken: Some(token),
            ..told
        },
        Credentials::Token(token) => DockerCredentials {
            registrytoken: Some(token),
            ..told
        },
    }
}

/// The layers of an image that is pulled.
#[derive(Default, Debug)]
struct Layers {
    all: BTreeSet<String>,
    ready: BTreeSet<String>,
}

impl Layers {
    /// Takes in what the engine says of a layer; what is worth a line.
    fn told(&mut self, layer: Option<String>, status: &str) -> Option<String> {
        let layer = layer?;
        match status {
            "Pulling fs layer" => {
                self.all.insert(layer);
                None
            }
            "Already exists" | "Pull complete" => {
                self.all.insert(layer.clone());
                let is_new = self.ready.insert(layer);
                is_new.then(|| format!("layer {} of {} is ready", self.ready.len(), self.all.len()))
            }
            _ => None,
        }
    }
}

/// A name and its tag, `latest` where it has none; a name with a digest has none.
fn exact(name: &str) -> (&str, Option<&str>) {
    if name.contains('@') {
        return (name, None);
    }
    match name.rsplit_once(':') {
        // A colon before the last slash is of a port.
        Some((short, tag)) if !tag.contains('/') => (short, Some(tag)),
        _ => (name, Some("latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Layers, exact};

    #[test]
    fn layers_are_counted_once() {
        let mut layers = Layers::default();
        let mut told = |layer: &str, status| layers.told(Some(layer.to_owned()).filter(|id| !id.is_empty()), status);
        assert_eq!(told("", "Pulling from o/i"), None);
        for layer in ["a", "b"] {
            assert_eq!(told(layer, "Pulling fs layer"), None);
        }
        assert_eq!(told("b", "Downloading"), None);
        assert_eq!(told("b", "Pull complete").as_deref(), Some("layer 1 of 2 is ready"));
        assert_eq!(told("b", "Pull complete"), None);
        assert_eq!(told("a", "Already exists").as_deref(), Some("layer 2 of 2 is ready"));
    }

    #[test]
    fn a_tag_is_always_named() {
        assert_eq!(exact("debian"), ("debian", Some("latest")));
        assert_eq!(exact("debian:12"), ("debian", Some("12")));
        assert_eq!(exact("localhost:5000/a/b"), ("localhost:5000/a/b", Some("latest")));
        assert_eq!(exact("localhost:5000/a/b:1"), ("localhost:5000/a/b", Some("1")));
        assert_eq!(exact("a@sha256:00"), ("a@sha256:00", None));
    }
}
