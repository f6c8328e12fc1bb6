//! Workspaces in machines: an image or a snapshot with another tree, made once for all machines that need the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bollard::container::PathStatResponse;
use futures::{StreamExt, stream};
use hm_plugin_protocol::SnapshotRef;
use hm_store::TreeId;
use hm_store::workspace::{DeltaOp, Entry, EntryKind, Manifest, WORKSPACE_FOLDER, Workspace};
use jiff::Timestamp;

use super::container::{GO_DIR, GO_SYMLINK, Shell};
use super::error::DockerError;
use super::exec::Gathered;
use super::image::DockerImage;
use super::keep::Keep;
use super::nodes::Node;
use super::record::{Origin, Record};
use super::script::script;
use super::shared::Shared;
use super::upload::Upload;
use crate::deltas::{Delta, Ground};
use crate::environment::DEFAULT_PATH;
use crate::machine::{Limits, Network, StopToken, VmError};
use crate::memory::conflict_note;

/// Where the script lies that removes files; it removes itself.
const SCRIPT: &str = ".hm-delta";

/// Looks into a container at once.
const LOOKS: usize = 8;

impl Shared {
    /// The image with a workspace, or with an empty folder in its place.
    pub(super) async fn seed(
        &self,
        image: &DockerImage,
        workspace: Option<&Arc<Workspace>>,
    ) -> Result<SnapshotRef, VmError> {
        let tree = workspace.map(|workspace| workspace.tree);
        let flight = self.deltas.flight(Ground::Image(image.base.digest), tree);
        let delta = flight.get_or_try_init(async || {
            let name = self.new_name();
            let made = self.make_seed(&name, image, workspace).await;
            self.janitor.remove(&name);
            made
        });
        Ok(delta.await?.snapshot.clone())
    }

    async fn make_seed(
        &self,
        name: &str,
        image: &DockerImage,
        workspace: Option<&Arc<Workspace>>,
    ) -> Result<Delta, VmError> {
        self.create_still(name, &image.id).await.map_err(failed)?;
        let upload = Upload {
            uid: image.base.uid,
            gid: image.base.gid,
            root: true,
            workspace: workspace.cloned(),
            entries: (0..workspace.map_or(0, |workspace| workspace.manifest.entries().len())).collect(),
            script: None,
        };
        self.upload(name, upload).await.map_err(failed)?;
        let keep = Keep {
            container: name,
            parent: None,
            depth: image.depth,
            base: image.base.clone(),
            tree: workspace.map(|workspace| workspace.tree),
            origin: Origin::Seed,
        };
        Ok(Delta {
            snapshot: self.keep(keep).await?,
            notes: Vec::new(),
        })
    }

    /// The snapshot with the tree that it holds replaced by the workspace.
    pub(super) async fn with_workspace(
        &self,
        snapshot: &SnapshotRef,
        node: &Node,
        workspace: &Arc<Workspace>,
    ) -> Result<Delta, VmError> {
        let ground = Ground::Snapshot(snapshot.clone());
        let flight = self.deltas.flight(ground, Some(workspace.tree));
        let delta = flight.get_or_try_init(async || {
            let name = self.new_name();
            let made = self.make_delta(&name, snapshot, node, workspace).await;
            self.janitor.remove(&name);
            made
        });
        delta.await.cloned()
    }

    async fn make_delta(
        &self,
        name: &str,
        snapshot: &SnapshotRef,
        node: &Node,
        workspace: &Arc<Workspace>,
    ) -> Result<Delta, VmError> {
        let record = &node.record;
        let old = match record.tree {
            Some(tree) => self.store.manifest(&tree).map_err(|error| VmError::Workspace {
                source: Arc::new(error),
            })?,
            None => Arc::default(),
        };
        self.create_still(name, &record.image).await.map_err(failed)?;
        let plan = self.plan(name, &old, &workspace.manifest).await.map_err(failed)?;
        let notes = plan.notes();
        let script = plan.script();
        let upload = Upload {
            uid: record.base.uid,
            gid: record.base.gid,
            root: false,
            workspace: Some(Arc::clone(workspace)),
            entries: plan.entries,
            script: None,
        };
        let removing = script.is_some().then(|| self.new_name());
        let container = removing.as_deref().unwrap_or(name);
        let made = async {
            if let Some(script) = script {
                self.remove_by(container, &record.image, script).await.map_err(failed)?;
            }
            self.upload(container, upload).await.map_err(failed)?;
            self.keep_delta(container, snapshot, record, workspace.tree).await
        };
        let made = made.await;
        if let Some(removing) = &removing {
            self.janitor.remove(removing);
        }
        Ok(Delta { snapshot: made?, notes })
    }

    async fn keep_delta(
        &self,
        container: &str,
        snapshot: &SnapshotRef,
        record: &Record,
        tree: TreeId,
    ) -> Result<SnapshotRef, VmError> {
        let keep = Keep {
            container,
            parent: Some(snapshot),
            depth: record.depth,
            base: record.base.clone(),
            tree: Some(tree),
            origin: Origin::Delta,
        };
        self.keep(keep).await
    }

    /// Runs a script in a container of its own: engines have no request that removes a file.
    async fn remove_by(&self, name: &str, image: &str, removals: Vec<u8>) -> Result<(), DockerError> {
        let shell = Shell {
            image,
            path: DEFAULT_PATH,
            user: "0",
            network: Network::None,
            limits: Limits::default(),
        };
        self.create_shell(name, &shell).await?;
        let upload = Upload {
            uid: 0,
            gid: 0,
            root: false,
            workspace: None,
            entries: Vec::new(),
            script: Some((SCRIPT, removals)),
        };
        self.upload(name, upload).await?;
        let said = Gathered::default();
        let stop = StopToken::new();
        let env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
        let text = script(&format!(". /{SCRIPT}"), &env, [], "/");
        let exit = self.run(name, text, &said, &stop, std::time::Duration::ZERO).await?;
        match exit {
            0 => Ok(()),
            exit => Err(DockerError::Removal {
                exit,
                said: said.text(),
            }),
        }
    }
}

fn failed(error: DockerError) -> VmError {
    VmError::Workspace {
        source: Arc::new(error),
    }
}

/// How one tree is made of another in a container.
#[derive(Debug, Default)]
struct Plan {
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
    /// Looks at what the container has where the two trees differ.
    async fn plan(&self, container: &str, old: &Manifest, new: &Manifest) -> Result<Plan, DockerError> {
        let mut plan = Plan::default();
        let positions: HashMap<&[u8], usize> = new
            .entries()
            .iter()
            .enumerate()
            .map(|(at, entry)| (&*entry.path, at))
            .collect();
        let mut looks = Vec::new();
        let mut above = BTreeSet::new();
        for op in Manifest::diff(old, new) {
            match op {
                DeltaOp::Remove { path, dir: true } => plan.removed_folders.push(path.into_vec()),
                DeltaOp::Remove { path, dir: false } => {
                    plan.removed_files.push(path.to_vec());
                    looks.push((path, false));
                }
                DeltaOp::Put { path } => {
                    let Some(at) = positions.get(&*path) else { continue };
                    plan.entries.push(*at);
                    let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
                    above.extend(folders.map(|(end, _)| path[..end].to_vec()));
                    if !matches!(new.entries()[*at].kind, EntryKind::Dir) {
                        looks.push((path, true));
                    }
                }
            }
        }
        let mut found = stream::iter(looks)
            .map(|(path, is_put): (Box<[u8]>, bool)| async move {
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
        while let Some(conflict) = found.next().await {
            plan.conflicts.extend(conflict?.map(|path| path.to_vec()));
        }
        drop(found);
        let mut found = stream::iter(above)
            .map(|path: Vec<u8>| async move {
                let there = self.look(container, &place(&path)).await?;
                Ok::<_, DockerError>(there.filter(|there| there.file_mode & GO_DIR == 0).map(|_| path))
            })
            .buffer_unordered(LOOKS);
        while let Some(way) = found.next().await {
            plan.ways.extend(way?);
        }
        drop(found);
        // What the older tree has there as a file goes anyway.
        plan.ways.retain(|way| !plan.removed_files.contains(way));
        Ok(plan)
    }
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
    fn notes(&self) -> Vec<String> {
        let place = Path::new("/").join(WORKSPACE_FOLDER);
        let paths = self.conflicts.iter().map(|path| place.join(OsStr::from_bytes(path)));
        paths.map(|path| conflict_note(&path)).collect()
    }

    /// The text that removes what goes; nothing where nothing goes.
    fn script(&self) -> Option<Vec<u8>> {
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
