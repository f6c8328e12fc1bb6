//! The layer between image and workspace that makes a machine of an image: name service files and an empty
//! `/workspace`. It is a lower layer, so that what it holds never becomes part of a snapshot.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hm_sandbox::resolv_conf_of_steps;
use hm_store::{Owners, Store};

use crate::machine::Network;

/// What a machine layer is made for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct LayerKind {
    pub(super) network: Network,
    /// The image is this machine's own system and has its own name service files.
    pub(super) host: bool,
    /// Who owns `/workspace`.
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The layers of one process.
#[derive(Debug, Default)]
pub(super) struct MachineLayers {
    made: Mutex<HashMap<LayerKind, PathBuf>>,
}

const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

impl MachineLayers {
    /// The layer's folder, made at its first use. It goes with the store's lease.
    pub(super) fn get(&self, store: &Store, kind: LayerKind) -> io::Result<PathBuf> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = made.get(&kind) {
            return Ok(layer.clone());
        }
        let layer = store.temporary();
        make(&layer, kind, store.owners())?;
        made.insert(kind, layer.clone());
        Ok(layer)
    }
}

fn make(layer: &Path, kind: LayerKind, owners: Owners) -> io::Result<()> {
    let LayerKind {
        network,
        host,
        uid,
        gid,
    } = kind;
    folder(layer)?;
    let workspace = layer.join("workspace");
    folder(&workspace)?;
    if (uid, gid) != (0, 0) {
        let (uid, gid) = owners.on_disk(uid, gid).unzip();
        chown(&workspace, uid, gid)?;
    }
    let etc = layer.join("etc");
    let [resolvers, hosts] = ["resolv.conf", "hosts"].map(|name| etc.join(name));
    match network {
        // The image is this machine's own system, which has both.
        Network::Host | Network::None if host => {}
        Network::Host => {
            folder(&etc)?;
            copy_of_host(&resolvers, <[u8]>::to_vec)?;
            copy_of_host(&hosts, <[u8]>::to_vec)?;
        }
        Network::Isolated => {
            folder(&etc)?;
            copy_of_host(&resolvers, |text| {
                resolv_conf_of_steps(&String::from_utf8_lossy(text)).into_bytes()
            })?;
            if !host {
                copy_of_host(&hosts, <[u8]>::to_vec)?;
            }
        }
        Network::None => {
            folder(&etc)?;
            file(&hosts, LOCALHOST.as_bytes())?;
        }
    }
    Ok(())
}

/// Makes a file like this machine's one of the same name in `/etc`, if it has one.
fn copy_of_host(path: &Path, change: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    match fs::read(Path::new("/etc").join(name)) {
        Ok(text) => file(path, &change(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Modes are set apart from the making, whatever the process's umask is.
fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn file(path: &Path, text: &[u8]) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}
