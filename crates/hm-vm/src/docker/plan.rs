//! What makes one tree of another in a container.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bollard::container::PathStatResponse;
use futures::{StreamExt, TryStreamExt, stream};
use hm_store::workspace::{DeltaOp, Entry, EntryKind, Manifest, WORKSPACE_FOLDER, Workspace};
use jiff::Timestamp;

use super::container::{GO_DIR, GO_SYMLINK};
use super::error::DockerError;
use super::record::Base;
use super::shared::Shared;
use super::upload::Upload;
use crate::memory::conflict_note;

/// Where the script lies that removes files; it removes itself.
pub(super) const SCRIPT: &str = ".hm-delta";

/// Looks into a container at once.
const LOOKS: usize = 8;

/// How one tree is made of another in a container.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What is to be sent, by position in the newer manifest.
    entries: Vec<usize>,
    /// Where a step has left something else than the older tree put there.
    conflicts: BTreeSet<Vec<u8>>,
    removed_files: Vec<Vec<u8>>,
    removed_folders: Vec<Vec<u8>>,
    /// Not folders, although something is to be put below them.
    ways: BTreeSet<Vec<u8>>,
}

impl Shared {
    /// What makes the newer tree of the older one after steps have worked on it: looks at what the container has where the
    /// two differ.
    pub(super) async fn plan(&self, container: &str, old: &Manifest, new: &Manifest) -> Result<Plan, DockerError> {
        let mut plan = Plan::between(old, new);
        plan.conflicts = self.conflicts(container, &plan, old, new).await?;
        let above: BTreeSet<Vec<u8>> = plan.put(new).flat_map(|entry| above(&entry.path)).collect();
        let found = stream::iter(above)
            .map(|path| async move {
                let there = self.look(container, &place(&path)).await?;
                Ok::<_, DockerError>(there.filter(|there| there.file_mode & GO_DIR == 0).map(|_| path))
            })
            .buffer_unordered(LOOKS);
        let ways: Vec<Option<Vec<u8>>> = found.try_collect().await?;
        plan.ways = ways.into_iter().flatten().collect();
        // What the older tree has there as a file goes anyway.
        plan.ways.retain(|way| !plan.removed_files.contains(way));
        Ok(plan)
    }

    async fn conflicts(
        &self,
        container: &str,
        plan: &Plan,
        old: &Manifest,
        new: &Manifest,
    ) -> Result<BTreeSet<Vec<u8>>, DockerError> {
        let put = plan.put(new).filter(|entry| !matches!(entry.kind, EntryKind::Dir));
        let removed = plan.removed_files.iter().map(|path| (path.clone(), false));
        let looks: Vec<_> = removed.chain(put.map(|entry| (entry.path.to_vec(), true))).collect();
        let found = stream::iter(looks)
            .map(|(path, is_put)| async move {
                let there = self.look(container, &place(&path)).await?;
                let was = old.get(&path).filter(|was| !matches!(was.kind, EntryKind::Dir));
                let as_left = match (&there, was) {
                    (None, None) => true,
                    (None, Some(_)) => !is_put,
                    (Some(there), Some(was)) => is_as_put(there, was),
                    // What was a folder is one no more once it is removed.
                    (Some(there), None) => there.file_mode & GO_DIR != 0 && old.get(&path).is_some(),
                };
                Ok::<_, DockerError>((!as_left).then_some(path))
            })
            .buffer_unordered(LOOKS);
        let conflicts: Vec<Option<Vec<u8>>> = found.try_collect().await?;
        Ok(conflicts.into_iter().flatten().collect())
    }
}

impl Plan {
    /// By what the trees say; times alone are no difference.
    fn between(old: &Manifest, new: &Manifest) -> Self {
        let mut plan = Self::default();
        let positions = positions(new);
        for op in Manifest::diff(old, new) {
            match op {
                DeltaOp::Remove { path, dir: true } => plan.removed_folders.push(path.into_vec()),
                DeltaOp::Remove { path, dir: false } => plan.removed_files.push(path.into_vec()),
                DeltaOp::Put { path } => plan.entries.extend(positions.get(&*path)),
            }
        }
        plan
    }

    /// What makes exactly the newer tree of the older one, times included, where nothing else has been at work.
    pub(super) fn exact(old: &Manifest, new: &Manifest) -> Self {
        let mut plan = Self::between(old, new);
        let is_later = |entry: &Entry| old.get(&entry.path).is_some_and(|was| was.mtime_ns != entry.mtime_ns);
        let later = new.entries().iter().enumerate().filter(|(_, entry)| is_later(entry));
        plan.entries.extend(later.map(|(at, _)| at));
        // To put or remove something changes the time of the folder that it lies in.
        let positions = positions(new);
        let changed = plan.put(new).map(|entry| &*entry.path);
        let changed = changed.chain(
            plan.removed_files
                .iter()
                .chain(&plan.removed_folders)
                .map(Vec::as_slice),
        );
        let folders: BTreeSet<Vec<u8>> = changed.flat_map(above).collect();
        let folders = folders.iter().filter_map(|path| positions.get(path.as_slice()));
        plan.entries.extend(folders);
        plan.entries.sort_unstable();
        plan.entries.dedup();
        plan
    }

    /// Entries to be sent and to be removed.
    pub(super) fn size(&self) -> usize {
        self.entries.len() + self.removed_files.len() + self.removed_folders.len()
    }

    /// The files to be sent.
    pub(super) fn upload(&self, base: &Base, workspace: &Arc<Workspace>, root: bool) -> Upload {
        Upload {
            uid: base.uid,
            gid: base.gid,
            root,
            workspace: Some(Arc::clone(workspace)),
            entries: self.entries.clone(),
            script: None,
        }
    }

    fn put<'a>(&'a self, new: &'a Manifest) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter_map(|at| new.entries().get(*at))
    }
}

fn positions(manifest: &Manifest) -> HashMap<&[u8], usize> {
    let entries = manifest.entries().iter().enumerate();
    entries.map(|(at, entry)| (&*entry.path, at)).collect()
}

/// The folders that a path leads through.
fn above(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.map(|(end, _)| path[..end].to_vec())
}

fn place(path: &[u8]) -> String {
    format!("/{WORKSPACE_FOLDER}/{}", String::from_utf8_lossy(path))
}

/// Whether a file or link looks as it was put there; layers keep times in whole seconds.
fn is_as_put(there: &PathStatResponse, was: &Entry) -> bool {
    match &was.kind {
        EntryKind::Dir => true,
        EntryKind::Symlink { target } => {
            // The engine tells where in the machine a link leads.
            let target = String::from_utf8_lossy(target);
            let end = target.trim_start_matches("../").trim_start_matches("./");
            there.file_mode & GO_SYMLINK != 0 && there.link_target.ends_with(end)
        }
        EntryKind::File { size, hash: _ } => {
            let seconds = there
                .modification_time
                .as_deref()
                .and_then(|time| time.parse::<Timestamp>().ok());
            let is_file = there.file_mode & (GO_DIR | GO_SYMLINK) == 0;
            let same_time =
                seconds.is_some_and(|time| i128::from(time.as_second()) == was.mtime_ns.div_euclid(1_000_000_000));
            is_file
                && u64::try_from(there.size) == Ok(*size)
                && there.file_mode & 0o777 == was.mode & 0o777
                && same_time
        }
    }
}

impl Plan {
    pub(super) fn notes(&self) -> Vec<String> {
        let place = Path::new("/").join(WORKSPACE_FOLDER);
        let paths = self.conflicts.iter().map(|path| place.join(OsStr::from_bytes(path)));
        paths.map(|path| conflict_note(&path)).collect()
    }

    /// The text that removes what goes; nothing where nothing goes.
    pub(super) fn script(&self) -> Option<Vec<u8>> {
        if self.removed_files.is_empty() && self.removed_folders.is_empty() && self.ways.is_empty() {
            return None;
        }
        let mut script =
            format!("rm -f /{SCRIPT} || exit\ncd /{WORKSPACE_FOLDER} 2> /dev/null || exit 0\n").into_bytes();
        // A folder that a step put in a file's place is the step's, and one on the way to a file is as it should be.
        script.extend(b"f() { if [ -L \"$1\" ] || [ ! -d \"$1\" ]; then rm -f -- \"$1\"; fi; }\n");
        // A folder goes only when nothing is left in it.
        script.extend(b"d() { [ -L \"$1\" ] || [ ! -d \"$1\" ] || rmdir -- \"$1\" 2> /dev/null; return 0; }\n");
        for (function, paths) in [("f", &self.removed_files), ("d", &self.removed_folders)] {
            for path in paths {
                line(&mut script, function, path);
            }
        }
        for path in &self.ways {
            line(&mut script, "f", path);
        }
        script.extend(b"exit 0\n");
        Some(script)
    }
}

fn line(script: &mut Vec<u8>, function: &str, path: &[u8]) {
    script.extend(function.as_bytes());
    script.extend(b" './");
    for byte in path {
        if *byte == b'\'' {
            script.extend(b"'\\''");
        } else {
            script.push(*byte);
        }
    }
    script.extend(b"'\n");
}

#[cfg(test)]
mod tests {
    use hm_store::workspace::FileHash;

    use super::*;

    fn tree(entries: &[(&str, EntryKind, i128)]) -> Manifest {
        let entry = |(path, kind, mtime_ns): &(&str, EntryKind, i128)| Entry {
            path: path.as_bytes().into(),
            kind: kind.clone(),
            mode: 0o644,
            mtime_ns: *mtime_ns,
        };
        Manifest::new(entries.iter().map(entry).collect())
    }

    fn file(content: u8) -> EntryKind {
        EntryKind::File {
            size: 1,
            hash: FileHash([content; 32]),
        }
    }

    #[test]
    fn an_exact_plan_sends_what_differs_and_the_folders_around_it() {
        let dir = || EntryKind::Dir;
        let old = [
            ("a", dir(), 1),
            ("a/b", dir(), 1),
            ("a/b/same", file(1), 1),
            ("a/b/was", file(1), 1),
            ("c", dir(), 1),
            ("c/touched", file(1), 1),
            ("d", dir(), 1),
            ("d/gone", file(1), 1),
            ("e", dir(), 1),
            ("e/same", file(1), 1),
        ];
        let mut new = old.to_vec();
        new[3].1 = file(2);
        new[5].2 = 2;
        new.remove(7);
        let new = tree(&new);
        let plan = Plan::exact(&tree(&old), &new);
        let sent: Vec<_> = plan.put(&new).map(Entry::path).collect();
        let expected = ["a", "a/b", "a/b/was", "c", "c/touched", "d"].map(Path::new);
        assert_eq!((sent, plan.size()), (expected.to_vec(), 7));
        let script = String::from_utf8(plan.script().unwrap()).unwrap();
        assert!(script.contains("f './d/gone'\n") && !script.contains("was"), "{script}");
        assert_eq!(Plan::exact(&new, &new).size(), 0);
    }
}
