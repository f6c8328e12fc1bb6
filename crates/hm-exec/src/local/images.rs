//! Images, each found once a build.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hm_plugin_protocol::RunId;
use hm_vm::{BootImage, VmBackend, VmError};
use tokio::sync::OnceCell;

type Found = Arc<OnceCell<Result<BootImage, VmError>>>;

/// What the images of each build are, from the first time that a step asks until the build is over: all steps of a
/// build boot from the same bytes, and an image that can't be had is looked for once.
#[derive(Debug, Default)]
pub(super) struct Images {
    found: Mutex<HashMap<RunId, HashMap<String, Found>>>,
}

impl Images {
    /// The image, found by whoever asks first. When that one gives up, the next one goes on.
    pub(super) async fn get(&self, backend: &dyn VmBackend, run: RunId, image: &str) -> Result<BootImage, VmError> {
        let cell = self.cell(run, image);
        cell.get_or_init(|| backend.resolve_image(image)).await.clone()
    }

    pub(super) fn forget(&self, run: RunId) {
        self.builds().remove(&run);
    }

    fn cell(&self, run: RunId, image: &str) -> Found {
        let mut builds = self.builds();
        let images = builds.entry(run).or_default();
        match images.get(image) {
            Some(found) => Arc::clone(found),
            None => Arc::clone(images.entry(image.to_owned()).or_default()),
        }
    }

    fn builds(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, HashMap<String, Found>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
