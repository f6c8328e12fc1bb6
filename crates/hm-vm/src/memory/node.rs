//! Files of a machine in memory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// A file, folder or link with what is known about it. A clone shares everything below it, so keeping a whole tree is
/// one clone; what is changed afterwards is copied on the way down to it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Only what a workspace brings has one; what commands write has 0.
    pub(crate) mtime_ns: i128,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    File(Arc<Vec<u8>>),
    Dir(BTreeMap<OsString, Arc<Node>>),
    Symlink(OsString),
}

impl Node {
    pub(crate) fn dir() -> Self {
        Self::new(0o755, Kind::Dir(BTreeMap::new()))
    }

    pub(crate) fn file(content: Vec<u8>) -> Self {
        Self::new(0o644, Kind::File(Arc::new(content)))
    }

    pub(crate) fn symlink(target: impl Into<OsString>) -> Self {
        Self::new(0o777, Kind::Symlink(target.into()))
    }

    pub(crate) fn new(mode: u32, kind: Kind) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            mtime_ns: 0,
            kind,
        }
    }

    pub(crate) fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir(_))
    }

    pub(crate) fn child(&self, name: &OsStr) -> Option<&Arc<Self>> {
        match &self.kind {
            Kind::Dir(entries) => entries.get(name),
            Kind::File(_) | Kind::Symlink(_) => None,
        }
    }

    /// Whether both are the same but for times and, for folders, what they hold.
    pub(crate) fn same_entry(&self, other: &Self) -> bool {
        let same_kind = match (&self.kind, &other.kind) {
            (Kind::File(one), Kind::File(two)) => Arc::ptr_eq(one, two) || one == two,
            (Kind::Dir(_), Kind::Dir(_)) => true,
            (Kind::Symlink(one), Kind::Symlink(two)) => one == two,
            (Kind::File(_) | Kind::Dir(_) | Kind::Symlink(_), _) => false,
        };
        same_kind && self.mode == other.mode && self.uid == other.uid && self.gid == other.gid
    }
}
