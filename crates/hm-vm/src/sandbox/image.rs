//! Images as the sandbox boots them.

use std::fs;
use std::path::{Path, PathBuf};

use hm_store::ResolvedImage;

use crate::machine::{DEFAULT_WORKDIR, ImageConfig, VmError};
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

    /// The folder that commands start in where they name none: the image's where there is no workspace or the folder is
    /// one of it, else the workspace. Images that set a folder of their own for what is installed in them, such as
    /// golang's `/go`, are used for the workspace all the same.
    pub(super) fn workdir(&self, has_workspace: bool) -> String {
        let of_image = self.resolved.config.working_dir.as_deref().map(Path::new);
        let used = of_image.filter(|folder| {
            if has_workspace {
                folder.starts_with(DEFAULT_WORKDIR)
            } else {
                folder.is_absolute()
            }
        });
        used.unwrap_or(Path::new(DEFAULT_WORKDIR)).display().to_string()
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
