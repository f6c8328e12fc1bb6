//! Workspaces in machines: an image or a snapshot with another tree, made once for all machines that need the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use hm_plugin_protocol::SnapshotRef;
use hm_store::TreeId;
use hm_store::workspace::{WORKSPACE_FOLDER, Workspace};

use super::container::Shell;
use super::error::DockerError;
use super::exec::Gathered;
use super::image::DockerImage;
use super::keep::Keep;
use super::nodes::Node;
use super::plan::{Plan, SCRIPT};
use super::record::{Base, Origin, Record};
use super::script::script;
use super::shared::Shared;
use super::upload::Upload;
use crate::deltas::{Delta, Ground};
use crate::environment::DEFAULT_PATH;
use crate::machine::{Limits, Network, StopToken, VmError};

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
            let snapshot = match workspace {
                Some(workspace) => self.kept_seed(image, workspace).await?,
                None => self.make_seed(image, None).await?,
            };
            let notes = Vec::new();
            Ok::<_, VmError>(Delta { snapshot, notes })
        });
        Ok(delta.await?.snapshot.clone())
    }

    /// A seed that all of the workspace is sent for.
    pub(super) async fn make_seed(
        &self,
        image: &DockerImage,
        workspace: Option<&Arc<Workspace>>,
    ) -> Result<SnapshotRef, VmError> {
        let upload = Upload {
            uid: image.base.uid,
            gid: image.base.gid,
            root: true,
            workspace: workspace.cloned(),
            entries: (0..workspace.map_or(0, |workspace| workspace.manifest.entries().len())).collect(),
            script: None,
        };
        let below = Below {
            image: &image.id,
            base: &image.base,
            depth: image.depth,
        };
        let hides = workspace.is_some() && self.has_workspace_folder(&image.id).await.map_err(failed)?;
        let removal = hides.then(|| {
            format!(
                "rm -f /{SCRIPT} && rm -rf /{WORKSPACE_FOLDER}/..?* /{WORKSPACE_FOLDER}/.[!.]* /{WORKSPACE_FOLDER}/*\n"
            )
            .into_bytes()
        });
        self.make_seed_on(below, removal, upload).await
    }

    /// Whether the image has something in the workspace's place.
    async fn has_workspace_folder(&self, image: &str) -> Result<bool, DockerError> {
        let name = self.new_name();
        self.create_still(&name, image).await?;
        let found = self.look(&name, &format!("/{WORKSPACE_FOLDER}")).await;
        self.janitor.remove(&name);
        Ok(found?.is_some())
    }

    /// A seed that is made of an older one. In the store it stands on nothing: the older one's tree is not needed for it.
    pub(super) async fn make_next_seed(
        &self,
        older: &Record,
        workspace: &Arc<Workspace>,
        plan: &Plan,
    ) -> Result<SnapshotRef, VmError> {
        let below = Below {
            image: &older.image,
            base: &older.base,
            depth: older.depth,
        };
        let upload = plan.upload(&older.base, workspace, true);
        self.make_seed_on(below, plan.script(), upload).await
    }

    async fn make_seed_on(
        &self,
        below: Below<'_>,
        removals: Option<Vec<u8>>,
        upload: Upload,
    ) -> Result<SnapshotRef, VmError> {
        let name = &self.new_name();
        let tree = upload.workspace.as_ref().map(|workspace| workspace.tree);
        let made = async {
            match removals {
                Some(script) => self.remove_by(name, below.image, script).await,
                None => self.create_still(name, below.image).await,
            }
            .map_err(failed)?;
            self.upload(name, upload).await.map_err(failed)?;
            let keep = Keep {
                container: name,
                parent: None,
                depth: below.depth,
                base: below.base.clone(),
                tree,
                origin: Origin::Seed,
            };
            self.keep(keep).await
        };
        let made = made.await;
        self.janitor.remove(name);
        made
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
        let upload = plan.upload(&record.base, workspace, false);
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

/// What a seed is made of.
struct Below<'a> {
    /// Full id of the engine's image.
    image: &'a str,
    base: &'a Base,
    depth: usize,
}

fn failed(error: DockerError) -> VmError {
    VmError::Workspace {
        source: Arc::new(error),
    }
}
