//! Removing what dead processes left in the engine.

use std::collections::{HashMap, HashSet};
use std::fs;

use bollard::errors::Error;
use bollard::models::{ContainerSummary, ImageSummary};
use bollard::query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder};

use super::error::DockerError;
use super::janitor;
use super::record::Record;
use super::shared::{LEASE_LABEL, STORE_LABEL, Shared};

/// How often is asked again for a list while others remove what is in it.
const LISTINGS: usize = 20;

impl Shared {
    /// Removes containers, networks and images of this store whose lease isn't held by a living process, but for images that
    /// snapshots of the store still refer to. Images with a name are somebody's own.
    pub(super) async fn sweep(&self) -> Result<(), DockerError> {
        for container in self.containers(&format!("{STORE_LABEL}={}", self.store_id)).await? {
            if self.is_dead(&container.labels)? {
                janitor::remove(&self.docker, &container.id).await?;
            }
        }
        for (id, labels) in self.networks(&format!("{STORE_LABEL}={}", self.store_id)).await? {
            if self.is_dead(&labels)? {
                // One that a container is still about to leave goes with the next sweep.
                drop(self.remove_network(&id).await);
            }
        }
        let mut dead = self.images().await?;
        let mut kept = Vec::new();
        for image in dead.drain(..) {
            if self.has_no_name(&image) && self.is_dead(&image.labels)? {
                kept.push(image);
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let referenced = self.referenced()?;
        kept.retain(|image| !referenced.contains(&image.id));
        self.remove_images(kept).await
    }

    /// Removes what this lease has left, whatever became of those who made it.
    pub(super) async fn remove_own(&self) -> Result<(), DockerError> {
        let own = format!("{LEASE_LABEL}={}", self.store.lease().as_str());
        for container in self.containers(&own).await? {
            janitor::remove(&self.docker, &container.id).await?;
        }
        for (id, _) in self.networks(&own).await? {
            self.remove_network(&id).await?;
        }
        Ok(())
    }

    /// Removes the images that this lease has made, but these, and what they stand on.
    pub(super) async fn remove_own_images(&self, kept: &HashSet<String>) -> Result<(), DockerError> {
        let mut own = self.images().await?;
        let lease = self.store.lease().as_str();
        own.retain(|image| {
            self.has_no_name(image)
                && image.labels.get(LEASE_LABEL).is_some_and(|label| label == lease)
                && !kept.contains(&image.id)
        });
        self.remove_images(own).await
    }

    async fn containers(&self, label: &str) -> Result<Vec<Listed>, DockerError> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&HashMap::from([("label", vec![label])]))
            .build();
        let mut listed = self.docker.list_containers(Some(options.clone())).await;
        for _ in 0..LISTINGS {
            if !listed.as_ref().is_err_and(is_of_one_gone) {
                break;
            }
            listed = self.docker.list_containers(Some(options.clone())).await;
        }
        Listed::read(listed).map_err(DockerError::engine("list its containers"))
    }

    async fn images(&self) -> Result<Vec<ImageSummary>, DockerError> {
        let label = format!("{STORE_LABEL}={}", self.store_id);
        let options = ListImagesOptionsBuilder::default()
            .all(true)
            .filters(&HashMap::from([("label", vec![label])]))
            .build();
        let listed = self.docker.list_images(Some(options)).await;
        listed.map_err(DockerError::engine("list its images"))
    }

    /// Names that it was given here don't count.
    fn has_no_name(&self, image: &ImageSummary) -> bool {
        let own = format!("{}:", self.repository());
        let is_none = |tag: &String| tag == "<none>:<none>" || tag.starts_with(&own);
        image.repo_tags.iter().all(is_none)
    }

    fn is_dead(&self, labels: &HashMap<String, String>) -> Result<bool, DockerError> {
        let Some(lease) = labels.get(LEASE_LABEL) else {
            return Ok(false);
        };
        let alive = self.store.is_alive(lease);
        Ok(!alive.map_err(DockerError::store("look at a lease"))?)
    }

    /// The images of all snapshots that the store has.
    fn referenced(&self) -> Result<HashSet<String>, DockerError> {
        let failed = |error| DockerError::files("list the snapshots of the store")(error);
        let mut images = HashSet::new();
        for layer in fs::read_dir(self.store.layout().layers()).map_err(failed)? {
            let record = Record::read(&layer.map_err(failed)?.path())?;
            images.extend(record.map(|record| record.image));
        }
        Ok(images)
    }

    /// Those on top go before those that they stand on; what others stand on stays.
    async fn remove_images(&self, mut images: Vec<ImageSummary>) -> Result<(), DockerError> {
        images.sort_unstable_by_key(|image| std::cmp::Reverse(image.created));
        let mut left = images;
        loop {
            let count = left.len();
            let mut refused = Vec::new();
            for image in left {
                match janitor::remove_image(&self.docker, &image.id).await {
                    Err(error) if error.status() == Some(409) => refused.push(image),
                    other => other?,
                }
            }
            if refused.is_empty() || refused.len() == count {
                return Ok(());
            }
            left = refused;
        }
    }
}

/// What a sweep has to know of a container.
#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    labels: HashMap<String, String>,
}

impl Listed {
    /// Podman has states of containers that the Engine API hasn't, such as `stopped`; its answer is read without them.
    fn read(listed: Result<Vec<ContainerSummary>, Error>) -> Result<Vec<Self>, Error> {
        match listed {
            Ok(listed) => Ok(listed.into_iter().filter_map(Self::of).collect()),
            Err(error) => {
                let Error::JsonDataError { contents, .. } = &error else {
                    return Err(error);
                };
                serde_json::from_str(contents).map_err(|_unreadable| error)
            }
        }
    }

    fn of(container: ContainerSummary) -> Option<Self> {
        Some(Self {
            id: container.id?,
            labels: container.labels.unwrap_or_default(),
        })
    }
}

/// Podman's error where a container goes while it is listed.
fn is_of_one_gone(error: &Error) -> bool {
    let words = error.to_string();
    words.contains("container not known") || words.contains("no such container")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_in_a_state_of_podmans_own_is_listed() {
        let contents = r#"[{"Id":"c1","State":"stopped","Labels":{"dev.hm.lease":"l"}}]"#;
        let unread = serde_json::from_str::<Vec<ContainerSummary>>(contents);
        let error = |contents: &str| Error::JsonDataError {
            message: String::new(),
            contents: contents.to_owned(),
            column: 0,
        };
        assert!(unread.is_err(), "the client knows the state: {unread:?}");
        let labels = HashMap::from([("dev.hm.lease".to_owned(), "l".to_owned())]);
        let id = "c1".to_owned();
        assert_eq!(Listed::read(Err(error(contents))).unwrap(), [Listed { id, labels }]);
        assert!(Listed::read(Err(error("[{}]"))).is_err());
    }
}
