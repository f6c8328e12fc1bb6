//! Where an image has its `/etc`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use hm_store::Owners;
use hm_store::workspace::WORKSPACE_FOLDER;

use super::machine_layer::folder;
use super::stacked::Stacked;

const ETC: &str = "etc";

/// The folders that lead to it, that one last, as the machine layer repeats them. In some images `/etc` is a link into
/// another folder, and stays one. None: it leads nowhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Etc(Vec<Folder>);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Folder {
    path: PathBuf,
    mode: u32,
    /// User and group on disk; nobody's in particular where the image has no such folder.
    owner: Option<(u32, u32)>,
}

impl Default for Etc {
    fn default() -> Self {
        Self(vec![Folder {
            path: ETC.into(),
            mode: 0o755,
            owner: None,
        }])
    }
}

impl Etc {
    pub(super) fn of_image(image: Stacked<'_>) -> Self {
        if image.look(Path::new(ETC)).is_none() {
            return Self::default();
        }
        let found = image.find(Path::new(ETC)).filter(|found| found.data.is_dir());
        // What lies in the workspace's place is hidden by it.
        let found = found.filter(|found| !found.path.starts_with(WORKSPACE_FOLDER));
        let Some(found) = found else { return Self(Vec::new()) };
        let mut way: Vec<&Path> = found.path.ancestors().collect();
        way.reverse();
        let folders = way.into_iter().skip(1).filter_map(|path| {
            let data = image.look(path)?.data;
            Some(Folder {
                path: path.to_owned(),
                mode: data.mode() & 0o7777,
                owner: Some((data.uid(), data.gid())),
            })
        });
        Self(folders.collect())
    }

    /// Makes the folders; gives the last one.
    pub(super) fn make(&self, layer: &Path) -> io::Result<Option<PathBuf>> {
        for Folder { path, .. } in &self.0 {
            folder(&layer.join(path))?;
        }
        Ok(self.0.last().map(|last| layer.join(&last.path)))
    }

    /// Has them look like the image's, once all is in them.
    pub(super) fn finish(&self, layer: &Path, owners: Owners) -> io::Result<()> {
        for Folder { path, mode, owner } in self.0.iter().rev() {
            let path = layer.join(path);
            if let Some((uid, gid)) = owner.filter(|_| owners != Owners::One) {
                // One that has no place among this process's ids stays its own.
                chown(&path, Some(uid), Some(gid)).ok();
            }
            fs::set_permissions(&path, Permissions::from_mode(*mode))?;
        }
        Ok(())
    }
}
