//! Which snapshots machines run on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hm_plugin_protocol::SnapshotRef;

/// Counts machines by snapshot. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse {
    counts: Arc<Mutex<HashMap<SnapshotRef, usize>>>,
}

/// One machine's use of a snapshot; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Use {
    snapshot: SnapshotRef,
    counts: InUse,
}

impl InUse {
    pub(crate) fn enter(&self, snapshot: &SnapshotRef) -> Use {
        *self.lock().entry(snapshot.clone()).or_default() += 1;
        Use {
            snapshot: snapshot.clone(),
            counts: self.clone(),
        }
    }

    pub(crate) fn count(&self, snapshot: &SnapshotRef) -> usize {
        self.lock().get(snapshot).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SnapshotRef, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.snapshot) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.snapshot);
            }
        }
    }
}
