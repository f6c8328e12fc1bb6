//! Networks of steps that are to be apart from all but the way out.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::error::{DockerError, status};
use super::shared::Shared;
use crate::machine::Network;

/// Loopback only.
pub(super) const NO_NETWORK: &str = "none";
/// The engine's own network, which containers have that name none.
const BRIDGE: &str = "bridge";
const NO_BRIDGE: &str = "warning: the engine has no bridge (dockerd --bridge=none): isolated steps may have no way out; \
                         network = \"host\" has the engine's";
/// Has the bridge keep its containers apart (bridge driver options).
const APART: (&str, &str) = ("com.docker.network.bridge.enable_icc", "false");

impl Shared {
    /// What the engine calls the network. The one of isolated steps is made at its first use, one for all of the lease.
    pub(super) async fn network_mode(&self, network: Network) -> Result<String, DockerError> {
        match network {
            Network::Host => Ok("host".to_owned()),
            Network::None => Ok(NO_NETWORK.to_owned()),
            Network::Isolated => {
                let made = self.isolated.get_or_try_init(|| self.make_isolated());
                made.await.cloned()
            }
        }
    }

    async fn make_isolated(&self) -> Result<String, DockerError> {
        let name = self.new_name();
        let apart = HashMap::from([(APART.0.to_owned(), APART.1.to_owned())]);
        match self.make_network(&name, apart).await {
            // Podman knows no such option.
            Err(error) if error.words().contains(APART.0) => self.make_network(&name, HashMap::new()).await?,
            other => other?,
        }
        if let Some(observer) = &self.observer
            && !self.is_podman
            && !self.has_bridge().await?
        {
            observer.note(NO_BRIDGE);
        }
        Ok(name)
    }

    /// Whether the engine has the network that it makes for itself. Which rules of the packet filter it sets, it doesn't
    /// tell.
    async fn has_bridge(&self) -> Result<bool, DockerError> {
        match self.docker.inspect_network(BRIDGE, None).await {
            Err(error) if status(&error) == Some(404) => Ok(false),
            other => other.map(|_| true).map_err(DockerError::engine("look at its network")),
        }
    }

    async fn make_network(&self, name: &str, options: HashMap<String, String>) -> Result<(), DockerError> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            options: Some(options),
            labels: Some(HashMap::clone(&self.labels)),
            ..NetworkCreateRequest::default()
        };
        let made = self.docker.create_network(request).await;
        made.map(drop)
            .map_err(DockerError::engine("make a network for isolated steps"))
    }

    /// The networks with a label, by id, with their labels.
    pub(super) async fn networks(&self, label: &str) -> Result<Vec<(String, HashMap<String, String>)>, DockerError> {
        let options = ListNetworksOptionsBuilder::default()
            .filters(&HashMap::from([("label", vec![label])]))
            .build();
        let listed = self.docker.list_networks(Some(options)).await;
        let listed = listed.map_err(DockerError::engine("list its networks"))?;
        let known = listed.into_iter();
        Ok(known
            .filter_map(|network| Some((network.id?, network.labels.unwrap_or_default())))
            .collect())
    }

    /// Removes a network that no container is on. One that isn't there is fine.
    pub(super) async fn remove_network(&self, id: &str) -> Result<(), DockerError> {
        match self.docker.remove_network(id).await {
            Err(error) if status(&error) == Some(404) => Ok(()),
            other => other.map_err(DockerError::engine("remove a network")),
        }
    }
}
