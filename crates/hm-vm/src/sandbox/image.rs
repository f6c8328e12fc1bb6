//! Images as the sandbox boots them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use hm_store::{ResolvedImage, XattrNamespace};

use super::etc::Etc;
use super::stacked::Stacked;
use crate::machine::{DEFAULT_WORKDIR, ImageConfig, VmError};
use crate::user::{Identity, identify};

/// What machines of an image need.
#[derive(Clone, Debug)]
pub(super) struct SandboxImage {
    pub(super) resolved: ResolvedImage,
    pub(super) identity: Identity,
    pub(super) etc: Etc,
}

impl SandboxImage {
    /// `marks`: how overlay marks are named in its layers.
    pub(super) fn new(resolved: ResolvedImage, marks: XattrNamespace) -> Result<Self, VmError> {
        let host = resolved.host.then(|| PathBuf::from("/"));
        let layers: Vec<PathBuf> = resolved.layers.iter().rev().cloned().chain(host).collect();
        let stacked = Stacked { layers: &layers, marks };
        let identity = match resolved.config.user.as_deref() {
            None | Some("" | "0" | "root") => Identity::root(),
            Some(user) => {
                let found = identify(user, &text(stacked, "etc/passwd"), &text(stacked, "etc/group"));
                found.map_err(|problem| VmError::UnknownUser {
                    user: user.to_owned(),
                    problem,
                })?
            }
        };
        // This machine's own is not this process's to repeat.
        let etc = if resolved.host {
            Etc::default()
        } else {
            Etc::of_image(stacked)
        };
        Ok(Self {
            resolved,
            identity,
            etc,
        })
    }

    /// The folder that commands start in where they name none: the image's where there is no workspace or the folder is
    /// one of it, else the workspace. Images that set a folder of their own for what is installed in them, such as
    /// golang's `/go`, are used for the workspace all the same.
    pub(super) fn workdir(&self, has_workspace: bool) -> String {
        let of_image = self.resolved.config.working_dir.as_deref().and_then(normal);
        let used = of_image.filter(|folder| !has_workspace || folder.starts_with(DEFAULT_WORKDIR));
        used.unwrap_or_else(|| DEFAULT_WORKDIR.into()).display().to_string()
    }

    pub(super) fn config(&self) -> ImageConfig {
        let hm_store::ImageConfig { env, user, working_dir } = self.resolved.config.clone();
        ImageConfig { env, user, working_dir }
    }
}

/// The text of a file as the image shows it.
fn text(image: Stacked<'_>, file: &str) -> String {
    let found = image.find(Path::new(file)).filter(|found| found.data.is_file());
    let text = found.and_then(|found| fs::read(found.place).ok());
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}

/// The path without `.` and `..`, as if no folder of it was a link; `None` where it is relative.
fn normal(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let mut normal = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(name) => normal.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path.is_absolute().then_some(normal)
}
