//! Making, reading and releasing snapshots.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};

use hm_plugin_protocol::SnapshotRef;
use rusqlite::params;

use crate::error::{FileError, IndexError};
use crate::files::bytes_on_disk;
use crate::ids::{ContentHash, LayerId};
use crate::scratch::Scratch;
use crate::snapshot::content::layer_hash;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::flatten::merge;
use crate::snapshot::node::{Foundation, NewSnapshot, Node, Nodes, SnapshotBase, SnapshotKind, Stack};
use crate::snapshot::rows;
use crate::store::Store;

/// The snapshots of a store.
///
/// One is transient until a cache entry refers to it or to one that stands on it: it costs no write to the index and
/// goes when it is released, or with its lease.
#[derive(Clone, Debug)]
pub struct Snapshots<'a> {
    store: &'a Store,
}

impl Store {
    /// The snapshots.
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots { store: self }
    }
}

impl Snapshots<'_> {
    /// Turns what a machine wrote into a snapshot: its upper folder becomes a layer by renaming, whatever its size. The
    /// caller holds the snapshot until it is released.
    ///
    /// # Errors
    /// A base that isn't there; files that can't be renamed.
    pub fn commit(&self, scratch: Scratch, new: NewSnapshot) -> Result<SnapshotRef, SnapshotError> {
        let NewSnapshot { base, kind } = new;
        let (parent, foundation) = match base {
            SnapshotBase::Image {
                digest,
                image_layers,
                tree,
            } => (
                None,
                Arc::new(Foundation {
                    digest,
                    layers: image_layers,
                    tree,
                }),
            ),
            SnapshotBase::Snapshot(parent) => {
                let id = self.load(&parent)?;
                let foundation = self.nodes().hold_parent(&id).ok_or(SnapshotError::Unknown(parent))?;
                (Some(id), foundation)
            }
        };
        let id = self.store.new_layer();
        if let Err(error) = scratch.become_layer(&self.store.layout().layer(&id)) {
            let gone = parent.map(|parent| self.nodes().release_parent(&parent));
            self.remove(gone.unwrap_or_default());
            return Err(error.into());
        }
        let node = Node {
            parent,
            foundation,
            kind,
            flat: None,
            layer_hash: None,
            persistent: false,
            held: true,
            children: 0,
        };
        self.nodes().insert(id.clone(), node);
        Ok(SnapshotRef(id.as_str().to_owned()))
    }

    /// What to mount for a machine that boots from it.
    ///
    /// # Errors
    /// There is no such snapshot, or the index failed.
    pub fn stack(&self, snapshot: &SnapshotRef) -> Result<Stack, SnapshotError> {
        let id = self.load(snapshot)?;
        let stack = self.nodes().stack(&id, self.store.layout());
        stack.ok_or_else(|| SnapshotError::Unknown(snapshot.clone()))
    }

    /// Whether it is there, with all that it stands on.
    ///
    /// # Errors
    /// The index failed.
    pub fn exists(&self, snapshot: &SnapshotRef) -> Result<bool, SnapshotError> {
        match self.stack(snapshot) {
            Ok(stack) => Ok(stack.lower.iter().all(|folder| folder.exists())),
            Err(SnapshotError::Unknown(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a cache entry, or a snapshot that one refers to, keeps it beyond this lease.
    ///
    /// # Errors
    /// The index failed.
    pub fn is_persistent(&self, snapshot: &SnapshotRef) -> Result<bool, SnapshotError> {
        match self.load(snapshot) {
            Ok(id) => Ok(self.nodes().get(&id).is_some_and(|node| node.persistent)),
            Err(SnapshotError::Unknown(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The hash of the image's digest and of what each step wrote: names, types, modes, owners, extended attributes,
    /// link targets, contents, removals; no times. A layer is read once in its life.
    ///
    /// # Errors
    /// There is no such snapshot, or a layer can't be read.
    pub fn content_hash(&self, snapshot: &SnapshotRef) -> Result<ContentHash, SnapshotError> {
        let id = self.load(snapshot)?;
        let unknown = || SnapshotError::Unknown(snapshot.clone());
        let chain: Vec<(LayerId, Node)> = self.nodes().chain(&id).map(|(id, node)| (id, node.clone())).collect();
        let digest = chain.first().ok_or_else(unknown)?.1.foundation.digest;
        let mut hasher = blake3::Hasher::new_derive_key("hm-store snapshot content 1");
        hasher.update(digest.to_string().as_bytes());
        for (id, node) in chain.into_iter().rev() {
            match node.kind {
                SnapshotKind::WorkspaceDelta { .. } => continue,
                SnapshotKind::Step => {}
            }
            let hash = match node.layer_hash {
                Some(known) => known,
                None => self.hash_layer(&id)?,
            };
            hasher.update(hash.as_bytes());
        }
        Ok(hasher.finalize().into())
    }

    /// Gives up the caller's hold. A transient snapshot's layer is deleted when no other snapshot stands on it; a
    /// persistent one stays. One that isn't there is no error.
    ///
    /// # Errors
    /// A layer can't be removed; it is left to the end of the lease.
    pub fn release(&self, snapshot: &SnapshotRef) -> Result<(), SnapshotError> {
        let Ok(id) = snapshot.0.parse::<LayerId>() else {
            return Ok(());
        };
        let gone = self.nodes().release(&id);
        self.remove(gone);
        Ok(())
    }

    /// Merges all layers of a snapshot into a copy, where they take at most `most` bytes on disk; the originals stay.
    /// Stacks that are asked for from then on use it.
    ///
    /// # Errors
    /// The layers can't be merged; the snapshot is as good as before.
    pub fn flatten(&self, snapshot: &SnapshotRef, most: u64) -> Result<(), SnapshotError> {
        let stack = self.stack(snapshot)?;
        let id = self.load(snapshot)?;
        if stack.depth < 2 {
            return Ok(());
        }
        let layers: Vec<PathBuf> = stack.lower.into_iter().take(stack.depth).collect();
        let bytes = || layers.iter().map(|layer| bytes_on_disk(layer)).sum::<u64>();
        if most < u64::MAX && bytes() > most {
            return Ok(());
        }
        let made = self.store.temporary();
        let flat = self.store.new_flattened();
        let path = self.store.layout().layer(&flat);
        let merged = merge(&layers, &made, self.store.xattrs())
            .and_then(|()| Ok(fs::rename(&made, &path).map_err(FileError::at("name", &path))?));
        if let Err(error) = merged {
            self.store.discard(made);
            return Err(error);
        }
        let loser = match self.nodes().get_mut(&id) {
            Some(node) if node.flat.is_none() => {
                node.flat = Some(flat.clone());
                None
            }
            Some(_) | None => Some(flat.clone()),
        };
        if let Some(loser) = loser {
            self.remove(vec![loser]);
            return Ok(());
        }
        let noted = self.store.index().write::<_, IndexError>(|change| {
            let update = "UPDATE snapshots SET flat = ?2 WHERE id = ?1 AND flat IS NULL";
            let rows = change.execute(update, params![id.as_str(), flat.as_str()])?;
            let ask = "SELECT EXISTS (SELECT 1 FROM snapshots WHERE id = ?1)";
            let persistent: bool = change.query_row(ask, [id.as_str()], |row| row.get(0))?;
            Ok(rows > 0 || !persistent)
        })?;
        if noted {
            return Ok(());
        }
        // Another process has flattened it meanwhile: use its layer.
        let theirs = self
            .rows(&id)?
            .into_iter()
            .find(|(row, _)| *row == id)
            .and_then(|(_, node)| node.flat);
        if let Some(node) = self.nodes().get_mut(&id) {
            node.flat = theirs;
        }
        self.remove(vec![flat]);
        Ok(())
    }

    /// Removes what this lease made and the index doesn't have.
    pub(crate) fn close(&self) {
        let gone = self.nodes().drain_transient();
        self.remove(gone);
    }

    /// The snapshot and what it stands on, as far as the index doesn't have it yet.
    pub(crate) fn unsaved(&self, snapshot: &SnapshotRef) -> Result<Vec<(LayerId, Node)>, SnapshotError> {
        let id = self.load(snapshot)?;
        let nodes = self.nodes();
        let unsaved = nodes.chain(&id).take_while(|(_, node)| !node.persistent);
        Ok(unsaved.map(|(id, node)| (id, node.clone())).collect())
    }

    /// Notes that the index has them.
    pub(crate) fn saved(&self, saved: &[(LayerId, Node)]) {
        let mut nodes = self.nodes();
        for (id, _) in saved {
            if let Some(node) = nodes.get_mut(id) {
                node.persistent = true;
            }
        }
    }

    fn hash_layer(&self, id: &LayerId) -> Result<ContentHash, SnapshotError> {
        let hash = layer_hash(&self.store.layout().layer(id))?;
        let persistent = match self.nodes().get_mut(id) {
            Some(node) => {
                node.layer_hash = Some(hash);
                node.persistent
            }
            None => false,
        };
        if persistent {
            self.store.index().write::<_, IndexError>(|change| {
                let update = "UPDATE snapshots SET layer_hash = ?2 WHERE id = ?1";
                change.execute(update, params![id.as_str(), hash.to_hex()])?;
                Ok(())
            })?;
        }
        Ok(hash)
    }

    /// Makes sure that the snapshot and what it stands on are among the known nodes.
    fn load(&self, snapshot: &SnapshotRef) -> Result<LayerId, SnapshotError> {
        let unknown = || SnapshotError::Unknown(snapshot.clone());
        let id: LayerId = snapshot.0.parse().map_err(|_| unknown())?;
        if self.nodes().get(&id).is_none() {
            let rows = self.rows(&id)?;
            if rows.is_empty() {
                return Err(unknown());
            }
            self.nodes().load(rows);
        }
        Ok(id)
    }

    fn rows(&self, id: &LayerId) -> Result<Vec<(LayerId, Node)>, IndexError> {
        let store = self.store;
        store
            .index()
            .read(|index| rows::load(index, store.layout().root(), store.boot_id(), id))
    }

    fn remove(&self, layers: Vec<LayerId>) {
        for layer in layers {
            self.store.discard(self.store.layout().layer(&layer));
        }
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.store.nodes()
    }
}
