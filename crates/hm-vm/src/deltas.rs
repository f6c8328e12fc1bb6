//! Workspaces put on images and snapshots: each is made once for all machines of a process that need the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hm_plugin_protocol::SnapshotRef;
use hm_store::ImageDigest;
use tokio::sync::OnceCell;

/// What a tree is put on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Ground {
    Image(ImageDigest),
    Snapshot(SnapshotRef),
}

/// A snapshot that holds a tree.
#[derive(Clone, Debug)]
pub(crate) struct Delta {
    pub(crate) snapshot: SnapshotRef,
    /// What steps had changed as well.
    pub(crate) notes: Vec<String>,
}

/// One delta, made by the first that needs it while the others wait.
pub(crate) type Flight = Arc<OnceCell<Delta>>;

/// The deltas of one process, by what they stand on and by what of the tree counts.
#[derive(Debug)]
pub(crate) struct Deltas<K> {
    flights: Mutex<HashMap<(Ground, K), Flight>>,
}

impl<K> Default for Deltas<K> {
    fn default() -> Self {
        Self {
            flights: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Deltas<K> {
    pub(crate) fn flight(&self, ground: Ground, tree: K) -> Flight {
        Arc::clone(self.lock().entry((ground, tree)).or_default())
    }

    /// Takes out what stands on the snapshot.
    pub(crate) fn take_on(&self, snapshot: &SnapshotRef) -> Vec<SnapshotRef> {
        let ground = Ground::Snapshot(snapshot.clone());
        let mut flights = self.lock();
        made(flights.extract_if(|(on, _), _| *on == ground))
    }

    /// Takes out all.
    pub(crate) fn take_all(&self) -> Vec<SnapshotRef> {
        made(std::mem::take(&mut *self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Ground, K), Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn made<K>(flights: impl IntoIterator<Item = (K, Flight)>) -> Vec<SnapshotRef> {
    let snapshots = flights.into_iter();
    snapshots
        .filter_map(|(_, flight)| flight.get().map(|delta| delta.snapshot.clone()))
        .collect()
}
