//! The content hash of a snapshot.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use hm_plugin_protocol::SnapshotRef;
use hm_store::ContentHash;
use tar::Archive;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::error::DockerError;
use super::nodes::Node;
use super::record::Origin;
use super::shared::{Shared, snapshot_error};
use crate::machine::VmError;

/// What counts of each entry of an image.
type Listing = BTreeMap<PathBuf, [u8; 32]>;

impl Shared {
    /// Of the image's digest and of what each step changed; workspaces don't count.
    pub(super) async fn content_hash(&self, snapshot: &SnapshotRef) -> Result<ContentHash, VmError> {
        let chain = self.chain(snapshot)?;
        let mut hasher = blake3::Hasher::new_derive_key("hm-vm docker snapshot content 1");
        if let Some(node) = chain.first() {
            hasher.update(node.record.base.digest.to_string().as_bytes());
        }
        for (at, node) in chain.iter().enumerate().rev() {
            let (Origin::Step, Some(parent)) = (node.record.origin, chain.get(at + 1)) else {
                continue;
            };
            let hash = node.hash.get_or_try_init(|| self.hash_of(node, parent)).await;
            hasher.update(hash.map_err(snapshot_error)?.as_bytes());
        }
        Ok(hasher.finalize().into())
    }

    /// Of what one step changed, found by comparing all files before and after.
    async fn hash_of(&self, node: &Node, parent: &Node) -> Result<ContentHash, DockerError> {
        let before = self.listing(&parent.record.image).await?;
        let mut changed: BTreeMap<PathBuf, Option<[u8; 32]>> = BTreeMap::new();
        let after = self.listing(&node.record.image).await?;
        for path in before.keys() {
            if !after.contains_key(path) {
                changed.insert(path.clone(), None);
            }
        }
        for (path, entry) in after {
            if before.get(&path) != Some(&entry) {
                changed.insert(path, Some(entry));
            }
        }
        Ok(hash_entries(&changed))
    }

    async fn listing(&self, image: &str) -> Result<Listing, DockerError> {
        let name = self.new_name();
        self.create_still(&name, image).await?;
        let (send, receive) = mpsc::channel(8);
        let pieces = stream::unfold(receive, async |mut receive: mpsc::Receiver<io::Result<Bytes>>| {
            receive.recv().await.map(|piece| (piece, receive))
        });
        let reader = SyncIoBridge::new(StreamReader::new(Box::pin(pieces)));
        let reading = tokio::task::spawn_blocking(move || read_entries(reader));
        let feed = async {
            let mut files = std::pin::pin!(self.docker.export_container(&name).map_err(io::Error::other));
            while let Some(piece) = files.next().await {
                if send.send(piece).await.is_err() {
                    break;
                }
            }
            drop(send);
        };
        let ((), read) = futures::future::join(feed, reading).await;
        self.janitor.remove(&name);
        let read = read.map_err(io::Error::other).and_then(|read| read);
        read.map_err(DockerError::files("read the files of a snapshot"))
    }
}

fn read_entries(archive: impl Read) -> io::Result<Listing> {
    let mut found = Listing::new();
    let mut archive = Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = below_root(Path::new(OsStr::from_bytes(&entry.path_bytes())));
        let header = entry.header();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[header.entry_type().as_byte()]);
        hasher.update(&header.mode()?.to_le_bytes());
        hasher.update(&header.uid()?.to_le_bytes());
        hasher.update(&header.gid()?.to_le_bytes());
        if let Some(target) = entry.link_name_bytes() {
            hasher.update(&target);
        }
        io::copy(&mut entry, &mut hasher)?;
        found.insert(path, hasher.finalize().into());
    }
    Ok(found)
}

fn hash_entries(entries: &BTreeMap<PathBuf, Option<[u8; 32]>>) -> ContentHash {
    let mut hasher = blake3::Hasher::new_derive_key("hm-vm docker step content 1");
    for (path, entry) in entries {
        let path = path.as_os_str().as_bytes();
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path);
        match entry {
            Some(hash) => hasher.update(&[1]).update(hash),
            None => hasher.update(&[0]),
        };
    }
    hasher.finalize().into()
}

fn below_root(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}
