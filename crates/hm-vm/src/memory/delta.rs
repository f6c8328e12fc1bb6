//! Puts a workspace into a machine in memory, by the delta rule.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use hm_store::TreeId;
use hm_store::workspace::{EntryKind, WORKSPACE_FOLDER, Workspace};

use super::fs::{Fs, FsError, RealPath, display};
use super::node::{Kind, Node};
use crate::machine::SharedError;
use crate::user::Identity;

/// A workspace as it was put into a machine.
#[derive(Clone, Debug)]
pub(super) struct PutTree {
    pub(super) id: TreeId,
    root: Arc<Node>,
}

impl PutTree {
    /// Reads a captured workspace.
    pub(super) fn read(workspace: &Workspace, owner: &Identity) -> Result<Self, SharedError> {
        let files = workspace.layer.join(WORKSPACE_FOLDER);
        let mut tree = Fs::empty();
        for entry in workspace.manifest.entries() {
            let path: RealPath = entry.path().iter().map(OsStr::to_owned).collect();
            let kind = match &entry.kind {
                EntryKind::Dir => Kind::Dir(BTreeMap::new()),
                EntryKind::Symlink { target } => Kind::Symlink(OsString::from_vec(target.to_vec())),
                EntryKind::File { .. } => {
                    let content =
                        fs::read(files.join(entry.path())).map_err(|error| -> SharedError { Arc::new(error) })?;
                    Kind::File(Arc::new(content))
                }
            };
            let node = Node {
                mode: entry.mode,
                uid: owner.uid,
                gid: owner.gid,
                mtime_ns: entry.mtime_ns,
                kind,
            };
            tree.put(&path, Arc::new(node))
                .map_err(|error| -> SharedError { Arc::new(error) })?;
        }
        let mut root = Node::clone(tree.root());
        (root.uid, root.gid) = (owner.uid, owner.gid);
        Ok(Self {
            id: workspace.tree,
            root: Arc::new(root),
        })
    }
}

/// Makes `/workspace` of `fs` what the new tree says wherever the two trees differ; notes tell what a step had changed
/// there.
pub(super) fn put(fs: &mut Fs, old: Option<&PutTree>, new: &PutTree) -> Result<Vec<String>, FsError> {
    let mut path = vec![OsString::from(WORKSPACE_FOLDER)];
    let Some(old) = old else {
        let holds_something =
            matches!(fs.at(&path).map(|node| &node.kind), Some(Kind::Dir(entries)) if !entries.is_empty());
        if holds_something {
            Delta {
                fs,
                conflicts: Vec::new(),
            }
            .write(&mut path, None, &new.root)?;
        } else {
            fs.put(&path, Arc::clone(&new.root))?;
        }
        return Ok(Vec::new());
    };
    let mut work = Delta {
        fs,
        conflicts: Vec::new(),
    };
    work.remove(&mut path, &old.root, Some(&new.root))?;
    work.write(&mut path, Some(&old.root), &new.root)?;
    work.conflicts.sort_unstable();
    work.conflicts.dedup();
    Ok(work
        .conflicts
        .into_iter()
        .map(|path| conflict_note(Path::new(OsStr::from_bytes(&path))))
        .collect())
}

/// For the log: the user's version of this entry took the place of a step's.
pub(crate) fn conflict_note(path: &Path) -> String {
    format!(
        "{}: changed by a step and in the workspace; the workspace's version is used",
        path.display()
    )
}

struct Delta<'f> {
    fs: &'f mut Fs,
    conflicts: Vec<Vec<u8>>,
}

impl Delta<'_> {
    /// Takes away what the old tree has and the new one doesn't, or has as something else: what a folder holds before
    /// the folder.
    fn remove(&mut self, path: &mut RealPath, old: &Arc<Node>, new: Option<&Arc<Node>>) -> Result<(), FsError> {
        if new.is_some_and(|new| Arc::ptr_eq(old, new)) {
            return Ok(());
        }
        if let Kind::Dir(entries) = &old.kind {
            for (name, child) in entries {
                path.push(name.clone());
                self.remove(path, child, new.and_then(|new| new.child(name)))?;
                path.pop();
            }
        }
        if new.is_some_and(|new| new.is_dir() == old.is_dir()) {
            return Ok(());
        }
        let found = self.fs.at(path).cloned();
        match (&old.kind, found.as_deref()) {
            (_, None) => {}
            (
                Kind::Dir(_),
                Some(Node {
                    kind: Kind::Dir(entries),
                    ..
                }),
            ) => {
                if entries.is_empty() {
                    self.fs.take(path)?;
                }
            }
            // A step has put something else in the folder's place: it is the step's.
            (Kind::Dir(_), Some(_)) => {}
            (Kind::File(_) | Kind::Symlink(_), Some(found)) if found.is_dir() => self.conflict(path),
            (Kind::File(_) | Kind::Symlink(_), Some(found)) => {
                if !found.same_entry(old) {
                    self.conflict(path);
                }
                self.fs.take(path)?;
            }
        }
        Ok(())
    }

    /// Puts what is new or changed, a folder before what it holds.
    fn write(&mut self, path: &mut RealPath, old: Option<&Arc<Node>>, new: &Arc<Node>) -> Result<(), FsError> {
        if old.is_some_and(|old| Arc::ptr_eq(old, new)) {
            return Ok(());
        }
        if !old.is_some_and(|old| old.same_entry(new)) {
            self.put_entry(path, old.map(|old| &**old), new)?;
        }
        let Kind::Dir(entries) = &new.kind else { return Ok(()) };
        let names: BTreeSet<&OsString> = entries.keys().collect();
        for name in names {
            path.push(name.clone());
            let child = old.and_then(|old| old.child(name));
            if let Some(new) = new.child(name) {
                self.write(path, child, new)?;
            }
            path.pop();
        }
        Ok(())
    }

    fn put_entry(&mut self, path: &RealPath, old: Option<&Node>, new: &Node) -> Result<(), FsError> {
        self.clear_way(path)?;
        let found = self.fs.at(path).cloned();
        let changed_by_step = match (found.as_deref(), old) {
            (Some(found), _) if found.is_dir() => {
                !new.is_dir() && !matches!(&found.kind, Kind::Dir(left) if left.is_empty())
            }
            (Some(found), Some(old)) => !found.same_entry(old) && !found.same_entry(new),
            (Some(found), None) => !found.same_entry(new),
            (None, Some(old)) => !old.is_dir() && !new.is_dir(),
            (None, None) => false,
        };
        if changed_by_step {
            self.conflict(path);
        }
        match (&new.kind, found.as_deref()) {
            (
                Kind::Dir(_),
                Some(Node {
                    kind: Kind::Dir(entries),
                    ..
                }),
            ) => {
                let node = Node {
                    kind: Kind::Dir(entries.clone()),
                    ..new.clone()
                };
                self.fs.put(path, Arc::new(node))
            }
            (Kind::Dir(_), _) => self.fs.put(
                path,
                Arc::new(Node {
                    kind: Kind::Dir(BTreeMap::new()),
                    ..new.clone()
                }),
            ),
            (Kind::File(_) | Kind::Symlink(_), _) => self.fs.put(path, Arc::new(new.clone())),
        }
    }

    /// Makes sure that all above `path` are folders; a step may have put something else there.
    fn clear_way(&mut self, path: &RealPath) -> Result<(), FsError> {
        for length in 1..path.len() {
            let above = &path[..length];
            match self.fs.at(above).map(|node| node.is_dir()) {
                Some(true) => {}
                Some(false) => {
                    self.conflict(&above.to_vec());
                    self.fs.put(above, Arc::new(Node::dir()))?;
                }
                None => self.fs.put(above, Arc::new(Node::dir()))?,
            }
        }
        Ok(())
    }

    fn conflict(&mut self, path: &RealPath) {
        self.conflicts.push(display(path));
    }
}
