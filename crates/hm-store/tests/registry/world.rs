//! A store in a folder of its own, and what was told of its pulls.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hm_store::image::{PullEvent, PullObserver, RegistryError, RegistrySettings, RetrySettings};
use hm_store::{
    ImageDigest, ImageError, ImageRef, ImageSettings, Images, Platform, ResolvedImage, Store, StoreSettings,
    SystemClock,
};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) base: TempDir,
    pub(crate) seen: Arc<Seen>,
}

#[derive(Default, Debug)]
pub(crate) struct Seen(Mutex<Vec<String>>);

impl PullObserver for Seen {
    fn event(&self, _: &str, event: PullEvent<'_>) {
        let text = match event {
            PullEvent::LayerBytes { .. } | PullEvent::Done | PullEvent::Failed => return,
            PullEvent::Retry { problem, .. } => format!("retry {problem}"),
            PullEvent::LayerStarted { layer, resumed_at, .. } => format!("start {layer} at {resumed_at}"),
            PullEvent::LayerUnpacked { layer } => format!("unpacked {layer}"),
            PullEvent::LayerPresent { layer } => format!("present {layer}"),
            PullEvent::MirrorFailed { mirror, .. } => format!("mirror {mirror}"),
            PullEvent::Resolved { layers, .. } => format!("resolved {layers}"),
            PullEvent::LayerDownloaded { layer } => format!("downloaded {layer}"),
            PullEvent::LayerKept { layer } => format!("kept {layer}"),
            PullEvent::Unpacking { layers } => format!("unpacking {layers}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            base: tempfile::tempdir().unwrap(),
            seen: Arc::default(),
        }
    }

    pub(crate) fn on(disk: &Path) -> Self {
        Self {
            base: tempfile::tempdir_in(disk).unwrap(),
            seen: Arc::default(),
        }
    }

    /// Another lease of the same store, as another process has it.
    pub(crate) fn store(&self) -> Store {
        let root = self.base.path().join("store");
        Store::open(StoreSettings {
            root,
            clock: Arc::new(SystemClock),
        })
        .unwrap()
    }

    pub(crate) fn images(&self, settings: ImageSettings) -> Images {
        Images::new(self.store(), settings)
    }

    /// Pulls with a client of its own.
    pub(crate) async fn pull(&self, reference: &str, settings: ImageSettings) -> Result<ResolvedImage, ImageError> {
        self.pull_with(&self.images(settings), reference).await
    }

    pub(crate) async fn pull_with(&self, images: &Images, reference: &str) -> Result<ResolvedImage, ImageError> {
        let seen: Arc<dyn PullObserver> = self.seen.clone();
        images.resolve(&ImageRef::parse(reference).unwrap(), seen).await
    }

    /// Has the image kept, with a client of its own.
    pub(crate) async fn fetch(&self, reference: &str, settings: ImageSettings) -> Result<ImageDigest, ImageError> {
        let seen: Arc<dyn PullObserver> = self.seen.clone();
        let images = self.images(settings);
        images.fetch(&ImageRef::parse(reference).unwrap(), seen).await
    }

    /// What was told that begins with the word.
    pub(crate) fn told(&self, word: &str) -> Vec<String> {
        let told = self.seen.0.lock().unwrap();
        told.iter().filter(|text| text.starts_with(word)).cloned().collect()
    }

    /// Layers that are in the store.
    pub(crate) fn layers(&self) -> usize {
        fs::read_dir(self.base.path().join("store/l")).unwrap().count()
    }

    /// The blobs that are kept, by their digests.
    pub(crate) fn kept(&self) -> BTreeMap<String, PathBuf> {
        let folder = fs::read_dir(self.base.path().join("store/z")).unwrap();
        let blobs = folder.map(|entry| entry.unwrap().path());
        let named = blobs.map(|path| (format!("sha256:{}", path.file_name().unwrap().to_str().unwrap()), path));
        named.collect()
    }

    /// What downloads left.
    pub(crate) fn partial_bytes(&self) -> u64 {
        let folder = fs::read_dir(self.base.path().join("store/p")).unwrap();
        folder.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }
}

/// For amd64, with these servers spoken to without TLS, and no waiting.
pub(crate) fn settings(plain: &[&str]) -> ImageSettings {
    ImageSettings {
        platform: platform("amd64"),
        registry: RegistrySettings {
            insecure: plain.iter().map(|host| (*host).to_owned()).collect(),
            retry: quick(),
            ..RegistrySettings::default()
        },
        ..ImageSettings::default()
    }
}

pub(crate) fn quick() -> RetrySettings {
    RetrySettings {
        attempts: 4,
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_secs(1),
    }
}

pub(crate) fn platform(architecture: &str) -> Platform {
    Platform {
        os: "linux".into(),
        architecture: architecture.into(),
        variant: None,
    }
}

pub(crate) fn read(image: &ResolvedImage, layer: usize, path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(image.layers[layer].join(path)).unwrap()
}

/// The registry's part of an error.
pub(crate) fn registry_error(result: Result<ResolvedImage, ImageError>) -> RegistryError {
    let error = result.unwrap_err();
    let text = whole(&error);
    if let ImageError::Registry(error) = error {
        return *error;
    }
    panic!("{text}")
}

/// The error and what caused it, in one line.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
