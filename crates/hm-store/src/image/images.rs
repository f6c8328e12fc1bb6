//! Resolving images, those of registries too.

use std::sync::{Arc, OnceLock};

use reqwest::Client;
use tokio::task::JoinSet;

use super::registry::{ImageLock, PullObserver, Puller, RegistryError, RegistrySettings, WhatIsKnown, http_client};
use super::{ImageError, ImageLimits, ImageRef, Platform, RegistryRef, ResolvedImage};
use crate::ids::ImageDigest;
use crate::store::Store;

/// How images are resolved.
#[derive(Clone, Debug)]
pub struct ImageSettings {
    /// Chooses among the images of a reference that stands for several.
    pub platform: Platform,
    /// The network is not touched: images of registries are those that the store holds.
    pub offline: bool,
    /// What a layer may unpack to.
    pub limits: ImageLimits,
    /// Which digest a reference stands for, whatever its registry says.
    pub lock: Option<ImageLock>,
    /// How registries are reached.
    pub registry: RegistrySettings,
}

impl Default for ImageSettings {
    /// For this machine, with registries reached directly and without credentials.
    fn default() -> Self {
        Self {
            platform: Platform::of_this_machine(),
            offline: false,
            limits: ImageLimits::default(),
            lock: None,
            registry: RegistrySettings::default(),
        }
    }
}

/// Resolves images into a store; clones are the same one and share connections.
#[derive(Clone, Debug)]
pub struct Images {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    settings: ImageSettings,
    registry: Arc<RegistrySettings>,
    client: OnceLock<Client>,
}

impl Images {
    /// Costs nothing yet: certificates are read when the first registry is asked.
    pub fn new(store: Store, settings: ImageSettings) -> Self {
        let registry = Arc::new(settings.registry.clone());
        Self {
            inner: Arc::new(Inner {
                store,
                settings,
                registry,
                client: OnceLock::new(),
            }),
        }
    }

    /// Finds the image, pulls what of it the store doesn't have, and unpacks it. A tag is looked up each time, so ask
    /// once a build. To drop the future gives the pull up; what came of its layers is kept for the next.
    ///
    /// # Errors
    /// See [`ImageError`]; [`ImageError::fix`] tells what to do.
    pub async fn resolve(
        &self,
        reference: &ImageRef,
        observer: Arc<dyn PullObserver>,
    ) -> Result<ResolvedImage, ImageError> {
        let Inner { store, settings, .. } = &*self.inner;
        let ImageRef::Registry(name) = reference else {
            let (store, reference, platform) = (store.clone(), reference.clone(), settings.platform.clone());
            let ended = ImageError::Ended {
                reference: reference.to_string(),
            };
            let mut work = JoinSet::new();
            work.spawn_blocking(move || store.resolve_image(&reference, &platform));
            return work.join_next().await.and_then(Result::ok).ok_or(ended)?;
        };
        let name = self.pinned(name);
        let known = store.pulled_image(&name, &settings.platform)?;
        let known = match (known, settings.offline || name.digest.is_some()) {
            (Some(known), true) => return Ok(known.image),
            (None, _) if settings.offline => {
                return Err(RegistryError::Offline {
                    reference: name.to_string(),
                }
                .into());
            }
            (known, _) => known.map_or(WhatIsKnown::Nothing, WhatIsKnown::Image),
        };
        self.puller(name, observer)?.pull(known).await
    }

    /// The digest that a reference stands for in its registry; of all platforms, where it has several.
    ///
    /// # Errors
    /// What the registry answers; [`RegistryError::Offline`] where the network must not be touched.
    pub async fn digest(
        &self,
        reference: &RegistryRef,
        observer: Arc<dyn PullObserver>,
    ) -> Result<ImageDigest, ImageError> {
        if self.inner.settings.offline {
            return Err(RegistryError::Offline {
                reference: reference.to_string(),
            }
            .into());
        }
        self.puller(reference.clone(), observer)?.digest().await
    }

    /// The reference with the digest that the lock gives it.
    fn pinned(&self, name: &RegistryRef) -> RegistryRef {
        let lock = self.inner.settings.lock.as_ref();
        let digest = name
            .digest
            .clone()
            .or_else(|| lock?.get(name).map(|digest| digest.to_string()));
        RegistryRef { digest, ..name.clone() }
    }

    fn puller(&self, name: RegistryRef, observer: Arc<dyn PullObserver>) -> Result<Puller, RegistryError> {
        let Inner {
            store,
            settings,
            registry,
            ..
        } = &*self.inner;
        let (platform, limits) = (settings.platform.clone(), settings.limits);
        Puller::new(
            self.client()?,
            Arc::clone(registry),
            store.clone(),
            name,
            platform,
            limits,
            observer,
        )
    }

    fn client(&self) -> Result<Client, RegistryError> {
        if let Some(client) = self.inner.client.get() {
            return Ok(client.clone());
        }
        let made = http_client(&self.inner.registry)?;
        Ok(self.inner.client.get_or_init(|| made).clone())
    }
}
