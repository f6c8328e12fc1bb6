//! Images as the sandbox boots them.

use std::fs;
use std::path::{Path, PathBuf};

use hm_store::ResolvedImage;

use crate::machine::{ImageConfig, VmError};
use crate::user::{Identity, identify};

/// What machines of an image need.
#[derive(Clone, Debug)]
pub(super) struct SandboxImage {
    pub(super) resolved: ResolvedImage,
    pub(super) identity: Identity,
}

impl SandboxImage {
    pub(super) fn new(resolved: ResolvedImage) -> Result<Self, VmError> {
        let identity = match resolved.config.user.as_deref() {
            None | Some("" | "0" | "root") => Identity::root(),
            Some(user) => {
                let text = |file: &str| topmost_text(&resolved, file);
                identify(user, &text("etc/passwd"), &text("etc/group"))
                    .ok_or_else(|| VmError::UnknownUser { user: user.to_owned() })?
            }
        };
        Ok(Self { resolved, identity })
    }

    pub(super) fn config(&self) -> ImageConfig {
        let hm_store::ImageConfig { env, user, working_dir } = self.resolved.config.clone();
        ImageConfig { env, user, working_dir }
    }
}

/// The text of a file as the image shows it. Links are not followed: where they lead is known in a machine only.
fn topmost_text(image: &ResolvedImage, file: &str) -> String {
    let host = image.host.then(|| PathBuf::from("/"));
    let layers = image.layers.iter().rev().chain(host.iter());
    let found = layers
        .map(|layer| layer.join(file))
        .find(|path| path.symlink_metadata().is_ok());
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
    let text = found.filter(|path| is_file(path)).and_then(|path| fs::read(path).ok());
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}
