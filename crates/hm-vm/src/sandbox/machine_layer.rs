//! The layer between image and workspace that makes a machine of an image: name service files and an empty
//! `/workspace`. It is a lower layer, so that what it holds never becomes part of a snapshot.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hm_sandbox::resolv_conf_of_steps;
use hm_store::workspace::WORKSPACE_FOLDER;
use hm_store::{Store, XattrNamespace};
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::etc::Etc;
use super::hosts::hosts;
use crate::machine::Network;

/// What a machine layer is made for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LayerKind {
    pub(super) network: Network,
    /// Where the name service files go.
    pub(super) etc: Etc,
    /// There is a workspace, which hides what the image has in its place.
    pub(super) hides: bool,
    /// Who owns `/workspace`.
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The layers of one process.
#[derive(Debug, Default)]
pub(super) struct MachineLayers {
    made: Mutex<HashMap<LayerKind, PathBuf>>,
}

impl MachineLayers {
    /// The layer's folder, made at its first use. It goes with the store's lease.
    pub(super) fn get(&self, store: &Store, kind: LayerKind) -> io::Result<PathBuf> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = made.get(&kind) {
            return Ok(layer.clone());
        }
        let layer = store.temporary();
        make(&layer, &kind, store)?;
        made.insert(kind, layer.clone());
        Ok(layer)
    }
}

fn make(layer: &Path, kind: &LayerKind, store: &Store) -> io::Result<()> {
    let LayerKind {
        network,
        etc,
        hides,
        uid,
        gid,
    } = kind;
    folder(layer)?;
    let workspace = layer.join(WORKSPACE_FOLDER);
    folder(&workspace)?;
    if (*uid, *gid) != (0, 0) {
        let (uid, gid) = store.owners().on_disk(*uid, *gid).unzip();
        chown(&workspace, uid, gid)?;
    }
    if *hides {
        hide_below(&workspace, store.xattrs())?;
    }
    let Some(place) = etc.make(layer)? else { return Ok(()) };
    let (of_host, resolvers) = match network {
        Network::Host => (text_of_host("hosts")?, text_of_host("resolv.conf")?),
        Network::Isolated => (None, text_of_host("resolv.conf")?.as_deref().map(resolv_conf_of_steps)),
        Network::None => (None, None),
    };
    file(&place.join("hosts"), &hosts(of_host))?;
    if let Some(text) = resolvers {
        file(&place.join("resolv.conf"), &text)?;
    }
    etc.finish(layer, store.owners())
}

/// Makes the folder opaque. A file system without such attributes can't hide anything.
fn hide_below(folder: &Path, marks: XattrNamespace) -> io::Result<()> {
    match rustix::fs::lsetxattr(folder, marks.opaque(), b"y", XattrFlags::empty()) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A file of this machine's `/etc`, if it has one.
fn text_of_host(name: &str) -> io::Result<Option<String>> {
    match fs::read(Path::new("/etc").join(name)) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Modes are set apart from the making, whatever the process's umask is.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn file(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}
