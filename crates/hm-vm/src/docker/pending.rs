//! Snapshots that are still containers.
//!
//! What a step leaves for others of its build is its ended container. A machine that is the last to be made from it goes on
//! in that container; for any other the container becomes an image first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hm_plugin_protocol::SnapshotRef;
use tokio::sync::Mutex as AsyncMutex;

use super::keep::Keep;
use super::machine::Container;
use super::record::{Origin, Record};
use super::shared::Shared;
use crate::in_use::Use;
use crate::machine::{MachineRequest, VmError};

/// An ended container, and what it was made from.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) container: Container,
    pub(super) base: SnapshotRef,
    pub(super) record: Arc<Record>,
    /// Keeps `base`.
    pub(super) hold: Use,
}

#[derive(Debug)]
enum State {
    Container(Left),
    Image(SnapshotRef),
    /// A machine went on in the container.
    Used,
}

/// The pending snapshots of one process.
#[derive(Debug, Default)]
pub(super) struct Pendings {
    all: Mutex<HashMap<SnapshotRef, Arc<AsyncMutex<State>>>>,
    /// Given up while a container was made from them.
    given_up: Mutex<BTreeMap<String, SnapshotRef>>,
}

impl Pendings {
    fn get(&self, snapshot: &SnapshotRef) -> Option<Arc<AsyncMutex<State>>> {
        self.all().get(snapshot).map(Arc::clone)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<SnapshotRef, Arc<AsyncMutex<State>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.all().clear();
        self.given_up().clear();
    }

    fn given_up(&self) -> MutexGuard<'_, BTreeMap<String, SnapshotRef>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Makes a snapshot of an ended container, without asking the engine for anything.
    pub(super) fn leave(&self, left: Left) -> SnapshotRef {
        let snapshot = SnapshotRef(self.new_name());
        let state = Arc::new(AsyncMutex::new(State::Container(left)));
        self.pendings.all().insert(snapshot.clone(), state);
        snapshot
    }

    /// The container of a snapshot for the last machine that is made from it, where that machine could have been the one
    /// that left it.
    pub(super) async fn go_on_in(&self, snapshot: &SnapshotRef, request: &MachineRequest) -> Option<Left> {
        let pending = self.pendings.get(snapshot)?;
        let mut state = pending.lock().await;
        let State::Container(left) = &*state else { return None };
        let same_tree = request
            .workspace
            .as_ref()
            .is_none_or(|workspace| left.record.tree == Some(workspace.tree));
        if !request.last || !same_tree || !left.container.suits(request) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Used) {
            State::Container(left) => Some(left),
            State::Image(_) | State::Used => None,
        }
    }

    /// The snapshot as one of the store, of which any number of machines can be made.
    pub(super) async fn settled(&self, snapshot: &SnapshotRef) -> Result<SnapshotRef, VmError> {
        let Some(pending) = self.pendings.get(snapshot) else {
            return Ok(snapshot.clone());
        };
        let mut state = pending.lock().await;
        let left = match &*state {
            State::Container(left) => left,
            State::Image(made) => return Ok(made.clone()),
            State::Used => {
                return Err(VmError::SnapshotMissing {
                    snapshot: snapshot.clone(),
                });
            }
        };
        let made = self.keep_left(left).await?;
        let before = std::mem::replace(&mut *state, State::Image(made.clone()));
        self.discard_state(before);
        self.give_up_late()?;
        Ok(made)
    }

    async fn keep_left(&self, left: &Left) -> Result<SnapshotRef, VmError> {
        let record = &left.record;
        let keep = Keep {
            container: &left.container.name,
            parent: Some(&left.base),
            depth: record.depth,
            base: record.base.clone(),
            tree: record.tree,
            origin: Origin::Step,
        };
        self.keep(keep).await
    }

    /// Whether the snapshot is pending, and has not been gone on in.
    pub(super) async fn is_pending(&self, snapshot: &SnapshotRef) -> bool {
        match self.pendings.get(snapshot) {
            Some(pending) => !matches!(*pending.lock().await, State::Used),
            None => false,
        }
    }

    /// Gives up a pending snapshot; the snapshot of the store that it has become, which is to be given up, too. `None`
    /// where it isn't pending.
    pub(super) async fn take_pending(&self, snapshot: &SnapshotRef) -> Option<Option<SnapshotRef>> {
        let pending = self.pendings.get(snapshot)?;
        let state = std::mem::replace(&mut *pending.lock().await, State::Used);
        self.pendings.all().remove(snapshot);
        if let State::Image(made) = state {
            return Some(Some(made));
        }
        self.discard_state(state);
        Some(None)
    }

    fn discard_state(&self, state: State) {
        if let State::Container(left) = state {
            self.janitor.remove(&left.container.name);
        }
    }

    /// Puts off giving up a snapshot that containers are made from; whether it did.
    pub(super) fn put_off(&self, snapshot: &SnapshotRef) -> bool {
        let is_held = self.holds.count(snapshot) > 0;
        if is_held {
            self.pendings.given_up().insert(snapshot.0.clone(), snapshot.clone());
        }
        is_held
    }

    /// Gives up what was put off and is held no more.
    pub(super) fn give_up_late(&self) -> Result<(), VmError> {
        let free: Vec<SnapshotRef> = {
            let mut given_up = self.pendings.given_up();
            let free: Vec<_> = given_up
                .values()
                .filter(|snapshot| self.holds.count(snapshot) == 0)
                .cloned()
                .collect();
            for snapshot in &free {
                given_up.remove(&snapshot.0);
            }
            free
        };
        free.iter().try_for_each(|snapshot| self.give_up(snapshot))
    }
}
