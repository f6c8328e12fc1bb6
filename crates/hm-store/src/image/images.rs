//! Resolving images, those of registries too.

use std::sync::{Arc, OnceLock};

use reqwest::Client;
use tokio::task::JoinSet;

use super::known::NotedImage;
use super::registry::{
    ImageLock, PullEvent, PullObserver, Pulled, Puller, RegistryError, RegistrySettings, http_client, unpack_kept,
};
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

/// Where an image is to be had.
#[derive(Debug)]
enum Where {
    /// All of it is there, unpacked or not.
    Store(NotedImage),
    Registry(Puller),
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
        let pinned = self.pinned(name);
        let (text, told) = (pinned.to_string(), Arc::clone(&observer));
        let resolved = self.resolve_name(pinned.clone(), observer).await;
        let resolved = resolved.map_err(|error| why_pinned(error, name, pinned));
        resolved.inspect_err(|_| told.event(&text, PullEvent::Failed))
    }

    async fn resolve_name(
        &self,
        name: RegistryRef,
        observer: Arc<dyn PullObserver>,
    ) -> Result<ResolvedImage, ImageError> {
        let (reference, told) = (name.to_string(), Arc::clone(&observer));
        let offline = self.inner.settings.offline;
        let puller = match self.look_up(name.clone(), observer.clone()).await? {
            Where::Store(image) => match self.unpacked(reference, image, told).await {
                Err(ImageError::Lost { .. }) if !offline => self.puller(name, observer)?,
                other => return other,
            },
            Where::Registry(puller) => puller,
        };
        puller.pull().await
    }

    /// Has the image in the store, as [`Images::resolve`] does, but leaves what comes from a registry as it is stored
    /// there: that takes no longer than the download, and `resolve` then needs no registry. What was fetched has reached
    /// the disk when this returns.
    ///
    /// # Errors
    /// See [`ImageError`]; [`ImageError::fix`] tells what to do.
    pub async fn fetch(
        &self,
        reference: &ImageRef,
        observer: Arc<dyn PullObserver>,
    ) -> Result<ImageDigest, ImageError> {
        let ImageRef::Registry(name) = reference else {
            return Ok(self.resolve(reference, observer).await?.digest);
        };
        let pinned = self.pinned(name);
        let (text, told) = (pinned.to_string(), Arc::clone(&observer));
        let fetched = match self.look_up(pinned.clone(), observer).await {
            Ok(Where::Store(image)) => Ok(image.digest),
            Ok(Where::Registry(puller)) => puller.fetch().await,
            Err(error) => Err(error),
        };
        let fetched = fetched.map_err(|error| why_pinned(error, name, pinned));
        fetched.inspect_err(|_| told.event(&text, PullEvent::Failed))
    }

    /// Finds out whether the store has what the reference stands for.
    async fn look_up(&self, name: RegistryRef, observer: Arc<dyn PullObserver>) -> Result<Where, ImageError> {
        let Inner { store, settings, .. } = &*self.inner;
        let known = store.pulled_image(&name, &settings.platform)?;
        match known {
            Some(Pulled { image, .. }) if settings.offline || name.digest.is_some() => Ok(Where::Store(image)),
            None if settings.offline => {
                let reference = name.to_string();
                Err(RegistryError::Offline { reference }.into())
            }
            known => {
                let puller = self.puller(name, observer)?;
                match known {
                    Some(Pulled { record, image }) if puller.told_digest().await? == Some(record.top) => {
                        Ok(Where::Store(image))
                    }
                    _ => Ok(Where::Registry(puller)),
                }
            }
        }
    }

    /// The image, with what of it was only kept unpacked.
    async fn unpacked(
        &self,
        reference: String,
        image: NotedImage,
        observer: Arc<dyn PullObserver>,
    ) -> Result<ResolvedImage, ImageError> {
        let Inner { store, settings, .. } = &*self.inner;
        if image.unpacked && store.is_unpacked(&image) {
            return Ok(store.resolved(&image));
        }
        let (store, limits) = (store.clone(), settings.limits);
        let ended = ImageError::Ended {
            reference: reference.clone(),
        };
        let mut work = JoinSet::new();
        work.spawn_blocking(move || {
            if !store.is_unpacked(&image) {
                unpack_kept(&store, &reference, &image, limits, &observer)?;
            }
            store.note_unpacked(&image)?;
            Ok(store.resolved(&image))
        });
        work.join_next().await.and_then(Result::ok).ok_or(ended)?
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

/// An image that is missing says who asked for just this one, where it was the lock.
fn why_pinned(error: ImageError, name: &RegistryRef, pinned: RegistryRef) -> ImageError {
    match (error, pinned.digest) {
        (ImageError::Registry(source), Some(digest))
            if name.digest.is_none() && matches!(*source, RegistryError::NotFound { .. }) =>
        {
            let reference = name.to_string();
            RegistryError::PinGone {
                reference,
                digest,
                source,
            }
            .into()
        }
        (error, _) => error,
    }
}
