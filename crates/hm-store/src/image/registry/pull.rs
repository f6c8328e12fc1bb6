//! One pull: documents, then layers side by side, each unpacked as it comes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Client;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::download::{Wanted, download};
use super::endpoint::Endpoint;
use super::growing::Growing;
use super::partial::remove_forgotten;
use super::record::{PullRecord, index_name};
use super::repository::{Document, Repository};
use super::unpacking::{Arriving, ArrivingLayer};
use super::{PullEvent, PullObserver, RegistryError, RegistrySettings};
use crate::error::IndexError;
use crate::ids::ImageDigest;
use crate::image::blobs::Blobs;
use crate::image::choose::{self, Chosen};
use crate::image::documents::{Descriptor, Node};
use crate::image::known::{Came, NotedImage, PackedLayer};
use crate::image::layers::{AT_ONCE, UnpackingLayers};
use crate::image::search::Search;
use crate::image::{ImageError, ImageLimits, Platform, RegistryRef, ResolvedImage};
use crate::store::Store;

const PARALLEL_DOWNLOADS: usize = 4;

/// Pulls one image.
#[derive(Debug)]
pub(in crate::image) struct Puller {
    repository: Arc<Repository>,
    platform: Platform,
    limits: ImageLimits,
}

/// An image whose documents are there.
struct Found {
    top: ImageDigest,
    chosen: Chosen,
    documents: HashMap<String, Vec<u8>>,
}

impl Found {
    /// Bytes of all layers, as the registry stores them.
    fn bytes(&self) -> u64 {
        let stored = self.chosen.layers.iter().filter_map(|layer| layer.stored);
        stored.map(|(_, size)| size).sum()
    }

    fn noted(&self) -> NotedImage {
        let packed = self.chosen.layers.iter().filter_map(|layer| {
            let (blob, size) = layer.stored?;
            let diff = layer.diff;
            Some(PackedLayer { blob, size, diff })
        });
        NotedImage {
            digest: self.chosen.digest,
            layers: self.chosen.layer_ids(),
            config: self.chosen.configuration.image_config(),
            packed: packed.collect(),
            unpacked: false,
        }
    }
}

impl Puller {
    pub(in crate::image) fn new(
        client: Client,
        settings: Arc<RegistrySettings>,
        store: Store,
        reference: RegistryRef,
        platform: Platform,
        limits: ImageLimits,
        observer: Arc<dyn PullObserver>,
    ) -> Result<Self, RegistryError> {
        let endpoints = Endpoint::all(&reference, &settings)?;
        let repository = Repository {
            name: reference.to_string(),
            client,
            settings,
            reference,
            endpoints,
            store,
            observer,
        };
        Ok(Self {
            repository: Arc::new(repository),
            platform,
            limits,
        })
    }

    /// The digest that the reference stands for.
    pub(in crate::image) async fn digest(&self) -> Result<ImageDigest, ImageError> {
        if let Some(digest) = self.told_digest().await? {
            return Ok(digest);
        }
        Ok(self.repository.manifest(self.name()).await?.digest)
    }

    /// Downloads and unpacks what is missing.
    pub(in crate::image) async fn pull(&self) -> Result<ResolvedImage, ImageError> {
        let found = self.find().await?;
        let (top, bytes) = (found.top, found.bytes());
        let image = found.noted();
        let anew = self.unpacked_layers(found).await?;
        let came = if anew { Came::Unpacked } else { Came::Before };
        self.note(top, bytes, &image, came)?;
        self.repository.tell(PullEvent::Done);
        Ok(self.repository.store.resolved(&image))
    }

    /// Downloads what is missing, and keeps it as it is.
    pub(in crate::image) async fn fetch(&self) -> Result<ImageDigest, ImageError> {
        let found = self.find().await?;
        let image = found.noted();
        loop {
            let came = if self.repository.store.is_unpacked(&image) {
                Came::Before
            } else {
                self.kept_layers(&image).await?;
                Came::Packed
            };
            // What was there may have been released before the image needed it.
            if self.note(found.top, found.bytes(), &image, came)? {
                self.repository.store.sync_blobs()?;
                self.repository.tell(PullEvent::Done);
                return Ok(image.digest);
            }
        }
    }

    /// Enters the image into the index.
    fn note(&self, top: ImageDigest, bytes: u64, image: &NotedImage, came: Came) -> Result<bool, ImageError> {
        let store = &self.repository.store;
        let record = PullRecord {
            top,
            pulled: store.now(),
            bytes,
        };
        let record = serde_json::to_string(&record).map_err(|source| IndexError::BadJson {
            what: "record of a pull",
            source,
        })?;
        let names = self.index_names(top);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        store.note_image(&names, &record, image, came)
    }

    /// The digest that the reference has, or that a server tells for its tag.
    pub(in crate::image) async fn told_digest(&self) -> Result<Option<ImageDigest>, RegistryError> {
        let RegistryRef { digest, tag, .. } = &self.repository.reference;
        match (digest.as_deref().and_then(|digest| digest.parse().ok()), tag) {
            (Some(digest), _) => Ok(Some(digest)),
            (None, Some(tag)) => self.repository.digest_of_tag(tag).await,
            (None, None) => Ok(None),
        }
    }

    /// What the manifest is asked for by.
    fn name(&self) -> &str {
        let RegistryRef { digest, tag, .. } = &self.repository.reference;
        digest.as_deref().or(tag.as_deref()).unwrap_or("latest")
    }

    /// The names that the image will be found by: its tag and its digest.
    fn index_names(&self, top: ImageDigest) -> Vec<String> {
        let reference = &self.repository.reference;
        let by_digest = RegistryRef {
            digest: Some(top.to_string()),
            ..reference.clone()
        };
        let mut names = vec![index_name(&by_digest, &self.platform)];
        if reference.digest.is_none() {
            names.push(index_name(reference, &self.platform));
        }
        names
    }

    /// Fetches the documents, and tells of them.
    async fn find(&self) -> Result<Found, ImageError> {
        let found = self.documents().await?;
        self.repository.tell(PullEvent::Resolved {
            digest: found.chosen.digest.to_string(),
            layers: found.chosen.layers.len(),
            bytes: found.bytes(),
        });
        Ok(found)
    }

    /// Fetches the documents, from the tag to the configuration.
    async fn documents(&self) -> Result<Found, ImageError> {
        let repository = &self.repository;
        let mut blobs = Blobs::Fetched {
            origin: PathBuf::from(repository.reference.to_string()),
            documents: HashMap::new(),
            layers: HashMap::new(),
        };
        let Document { mut bytes, mut digest } = repository.manifest(self.name()).await?;
        let top = digest;
        let mut search = Search::new(&self.platform);
        loop {
            let node: Node = choose::parse(&blobs, "manifest", &bytes)?;
            match node {
                Node {
                    manifests: Some(manifests),
                    ..
                } => search.list(&manifests),
                Node {
                    config: Some(config),
                    layers: Some(layers),
                    ..
                } => {
                    self.configuration(&mut blobs, &config).await?;
                    let image = choose::image(&blobs, digest, &config, &layers, &self.platform);
                    if let Some(chosen) = search.judge(image)? {
                        let documents = match blobs {
                            Blobs::Fetched { documents, .. } => documents,
                            Blobs::Folder(_) | Blobs::Archive { .. } => HashMap::new(),
                        };
                        return Ok(Found { top, chosen, documents });
                    }
                }
                Node { .. } => {
                    return Err(ImageError::MediaType {
                        path: blobs.path().to_owned(),
                        what: "the manifest",
                        media_type: media_type(&bytes),
                    });
                }
            }
            let Some(next) = search.next() else {
                return Err(search.failed(blobs.path()));
            };
            let name = choose::digest_of(&blobs, &next.digest)?;
            Document { bytes, digest } = repository.manifest(&name.to_string()).await?;
        }
    }

    async fn configuration(&self, blobs: &mut Blobs, config: &Descriptor) -> Result<(), ImageError> {
        let digest = choose::digest_of(blobs, &config.digest)?;
        let document = self.repository.configuration(&digest).await?;
        if let Blobs::Fetched { documents, .. } = blobs {
            documents.insert(choose::blob_name(&digest), document.bytes);
        }
        Ok(())
    }

    /// Downloads the blobs of layers that the store has in no form.
    async fn kept_layers(&self, image: &NotedImage) -> Result<(), ImageError> {
        let permits = self.permits()?;
        let mut downloads = JoinSet::new();
        let mut blobs = HashSet::new();
        for (number, (layer, packed)) in image.layers.iter().zip(&image.packed).enumerate() {
            // An image may have the same layer twice.
            if !blobs.insert(packed.blob) {
                self.repository.tell(PullEvent::LayerPresent { layer: number });
                continue;
            }
            let wanted = Wanted {
                number,
                layer: layer.clone(),
                blob: packed.blob,
                size: packed.size,
            };
            let work = download(Arc::clone(&self.repository), wanted, None, Arc::clone(&permits));
            downloads.spawn(work);
        }
        let mut end = Ok(());
        while let (Ok(()), Some(done)) = (&end, downloads.join_next().await) {
            end = self.joined(done)?.map_err(ImageError::from);
        }
        downloads.shutdown().await;
        end
    }

    /// How many layers are downloaded at once. What earlier pulls left goes first.
    fn permits(&self) -> Result<Arc<Semaphore>, ImageError> {
        let Repository { store, settings, .. } = &*self.repository;
        remove_forgotten(store.layout(), store.now())?;
        let parallel = settings.parallel_downloads.map_or(PARALLEL_DOWNLOADS, Into::into);
        Ok(Arc::new(Semaphore::new(parallel)))
    }

    /// Downloads and unpacks what the store doesn't have; tells whether there was anything.
    async fn unpacked_layers(&self, found: Found) -> Result<bool, ImageError> {
        let Found { chosen, documents, .. } = found;
        let store = &self.repository.store;
        let ids = chosen.layer_ids();
        if ids.iter().all(|layer| store.layout().layer(layer).is_dir()) {
            return Ok(false);
        }
        let permits = self.permits()?;
        let mut downloads = JoinSet::new();
        let (mut layers, mut arriving) = (Vec::new(), Vec::new());
        let mut coming = HashMap::new();
        for (number, (mut source, layer)) in chosen.layers.into_iter().zip(ids).enumerate() {
            let Some((blob, size)) = source.stored else { continue };
            let growing = Growing::default();
            let wanted = Wanted {
                number,
                layer: layer.clone(),
                blob,
                size,
            };
            let work = download(
                Arc::clone(&self.repository),
                wanted,
                Some(growing.writer()),
                Arc::clone(&permits),
            );
            downloads.spawn(work);
            source.name = Arriving::file_name(&source, number);
            coming.insert(source.name.clone(), (growing.clone(), size));
            layers.push((layer, source));
            arriving.push(ArrivingLayer {
                number,
                digest: blob.to_string(),
                growing,
            });
        }
        let blobs = Blobs::Fetched {
            origin: PathBuf::from(self.repository.reference.to_string()),
            documents,
            layers: coming,
        };
        let threads = layers.len().min(AT_ONCE);
        let arriving = Arriving {
            layers: arriving,
            repository: Arc::clone(&self.repository),
        };
        let work = Arc::new(UnpackingLayers::new(
            store.clone(),
            blobs,
            layers,
            arriving,
            self.limits,
        ));
        let mut unpacking = JoinSet::new();
        for _ in 0..threads {
            let work = Arc::clone(&work);
            unpacking.spawn_blocking(move || work.work());
        }
        let end = self.both(&mut downloads, &mut unpacking).await;
        downloads.shutdown().await;
        // They end soon: nothing comes any more.
        while unpacking.join_next().await.is_some() {}
        end.map(|()| work.is_anew())
    }

    /// Waits for both. What is wrong with a download is why unpacking it failed.
    async fn both(
        &self,
        downloads: &mut JoinSet<Result<(), RegistryError>>,
        unpacking: &mut JoinSet<Result<(), ImageError>>,
    ) -> Result<(), ImageError> {
        let mut unpacked = Ok(());
        loop {
            tokio::select! {
                biased;
                Some(done) = downloads.join_next() => self.joined(done)??,
                Some(done) = unpacking.join_next() => match self.joined(done)? {
                    Err(error @ ImageError::Registry(_)) => unpacked = unpacked.and(Err(error)),
                    Err(error) => return Err(error),
                    Ok(()) => {}
                },
                else => return unpacked,
            }
        }
    }

    fn joined<T>(&self, done: Result<T, JoinError>) -> Result<T, ImageError> {
        done.map_err(|_| self.ended())
    }

    fn ended(&self) -> ImageError {
        ImageError::Ended {
            reference: self.repository.reference.to_string(),
        }
    }
}

/// What a document says that it is.
fn media_type(bytes: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = document.get("mediaType").and_then(serde_json::Value::as_str);
    text.map_or_else(
        || {
            format!(
                "schemaVersion {}",
                document.get("schemaVersion").unwrap_or(&serde_json::Value::Null)
            )
        },
        str::to_owned,
    )
}
