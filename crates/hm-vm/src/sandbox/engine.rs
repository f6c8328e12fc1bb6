//! Images of a Docker engine: saved by it, as `docker save` does, and unpacked like an archive.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use hm_store::{ImageError, Platform, ResolvedImage};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::shared::{Shared, blocking};
use crate::docker::{DockerError, connect};
use crate::machine::{SharedError, VmError};

/// HTTP's "not found".
const NOT_FOUND: u16 = 404;

impl Shared {
    /// The image of this name in the engine, from the store where it was saved before.
    pub(super) async fn engine_image(self: &Arc<Self>, name: &str) -> Result<ResolvedImage, VmError> {
        let failed = |fix: Option<String>, source: SharedError| VmError::Image {
            image: format!("docker-daemon:{name}"),
            fix,
            source,
        };
        let of_engine = |error: DockerError| {
            let fix = match error.status() {
                Some(NOT_FOUND) => format!("fetch it once: docker pull {name}"),
                _ => error.fix().unwrap_or_else(|| {
                    format!("check that the engine runs, and knows the image: docker image inspect {name}")
                }),
            };
            failed(Some(fix), Arc::new(error))
        };
        let of_store = |error: ImageError| failed(error.fix(), Arc::new(error));

        let Some(address) = self.engine.get() else {
            let name = name.to_owned();
            return Err(of_store(ImageError::DaemonUnsupported { name }));
        };
        let engine = connect(address).await.map_err(of_engine)?.docker;
        let found = engine.inspect_image(name).await;
        let found = found
            .map_err(DockerError::engine("look the image up"))
            .map_err(of_engine)?;
        let id = found.id.ok_or(DockerError::Answer {
            what: "the id of an image",
        });
        let id = id.map_err(of_engine)?;
        let platform = Platform::of_this_machine();
        let known = self.store.image_of_engine(&id, &platform).map_err(of_store)?;
        if let Some(known) = known {
            return Ok(known);
        }

        let saved = Saved(self.store.temporary());
        save(&engine, &id, &saved.0).await.map_err(of_engine)?;
        let store = self.store.clone();
        let unpacked = blocking(move || store.unpack_image_of_engine(&id, &saved.0, &platform)).await?;
        unpacked.map_err(of_store)
    }
}

/// A file that goes when it has been read.
struct Saved(std::path::PathBuf);

impl Drop for Saved {
    fn drop(&mut self) {
        // What is left goes with the lease.
        std::fs::remove_file(&self.0).ok();
    }
}

async fn save(engine: &bollard::Docker, id: &str, to: &Path) -> Result<(), DockerError> {
    let failed = || DockerError::files("write the image that the engine saves");
    let mut file = File::create_new(to).await.map_err(failed())?;
    let mut pieces = engine.export_image(id);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(DockerError::engine("save the image"))?;
        file.write_all(&piece).await.map_err(failed())?;
    }
    file.flush().await.map_err(failed())
}
