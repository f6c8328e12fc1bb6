//! One machine in memory.

use std::sync::Arc;

use async_trait::async_trait;
use hm_plugin_protocol::SnapshotRef;
use hm_store::ContentHash;

use super::backend::{Shared, Snapshot};
use super::content;
use super::delta::{self, PutTree};
use super::fs::Fs;
use super::shell::{self, Invocation};
use crate::environment;
use crate::machine::{ExecOutcome, ExecRequest, ImageConfig, MachineRequest, Vm, VmError};
use crate::user::{Identity, identify};

/// Working folder where a command names none.
const WORKDIR: &str = "/workspace";
/// 128 + SIGKILL.
const KILLED: i32 = 137;

#[derive(Debug)]
pub(super) struct MemoryMachine {
    shared: Arc<Shared>,
    /// The snapshot that can't be released before this machine is closed.
    from: Option<SnapshotRef>,
    fs: Fs,
    /// What `hash` stands for.
    before: Fs,
    hash: ContentHash,
    /// The workspace that was put in last.
    tree: Option<PutTree>,
    config: ImageConfig,
    identity: Identity,
    notes: Vec<String>,
}

impl MemoryMachine {
    pub(super) fn boot(
        shared: Arc<Shared>,
        from: Option<SnapshotRef>,
        start: &Snapshot,
        request: &MachineRequest,
    ) -> Result<Self, VmError> {
        let MachineRequest {
            workspace,
            network: _,
            limits: _,
            last: _,
        } = request;
        let mut fs = start.fs.clone();
        let identity = user_of(&fs, &start.config)?;
        let mut notes = Vec::new();
        let mut tree = start.tree.clone();
        if let Some(workspace) = workspace
            && tree.as_ref().is_none_or(|tree| tree.id != workspace.tree)
        {
            let new = shared
                .workspace(workspace, &identity)
                .map_err(|source| VmError::Workspace { source })?;
            notes = delta::put(&mut fs, tree.as_ref(), &new).map_err(|error| VmError::Workspace {
                source: Arc::new(error),
            })?;
            tree = Some(new);
        }
        Ok(Self {
            shared,
            from,
            before: fs.clone(),
            hash: start.hash,
            tree,
            identity,
            config: start.config.clone(),
            notes,
            fs,
        })
    }

    fn give_back(&mut self) {
        if let Some(snapshot) = self.from.take() {
            self.shared.leave(&snapshot);
        }
    }
}

fn user_of(fs: &Fs, config: &ImageConfig) -> Result<Identity, VmError> {
    let Some(user) = config.user.as_deref().filter(|user| !user.is_empty()) else {
        return Ok(Identity::root());
    };
    let text = |path: &str| {
        let content = fs.read(&[], path.as_bytes()).unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    };
    identify(user, &text("/etc/passwd"), &text("/etc/group")).map_err(|problem| VmError::UnknownUser {
        user: user.to_owned(),
        problem,
    })
}

#[async_trait]
impl Vm for MemoryMachine {
    async fn exec(&mut self, request: ExecRequest) -> Result<ExecOutcome, VmError> {
        let ExecRequest {
            cmd,
            env,
            workdir,
            stop,
            grace,
            sink,
        } = request;
        let workdir = workdir.unwrap_or_else(|| WORKDIR.to_owned());
        let cwd = self.fs.resolve(&[], workdir.as_bytes(), true).ok();
        let cwd = cwd.filter(|cwd| self.fs.at(cwd).is_some_and(|node| node.is_dir()));
        let Some(cwd) = cwd else {
            return Err(VmError::Workdir { workdir, source: None });
        };
        let env = environment::effective(&self.config.env, &self.identity.home, env);
        let path = env.get("PATH").cloned().unwrap_or_default();
        let has_shell = |folder: &str| self.fs.stat(&[], format!("{folder}/sh").as_bytes(), true).is_ok();
        if !path.split(':').any(has_shell) {
            return Err(VmError::NoShell { path });
        }
        if stop.is_stopped() {
            return Ok(ExecOutcome::stopped_before_start());
        }
        let invocation = Invocation {
            fs: &mut self.fs,
            env,
            cwd,
            uid: self.identity.uid,
            stop: stop.clone(),
            sink,
        };
        let overdue = async {
            stop.stopped().await;
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = stop.killed() => {}
            }
        };
        let exit = tokio::select! {
            biased;
            exit = shell::run(invocation, &cmd) => exit,
            () = overdue => KILLED,
        };
        Ok(ExecOutcome {
            exit,
            stopped: stop.is_stopped(),
            out_of_memory: false,
            out_of_pids: false,
            usage: None,
        })
    }

    async fn snapshot(&mut self) -> Result<SnapshotRef, VmError> {
        self.hash = content::after(&self.hash, &self.before, &self.fs);
        self.before = self.fs.clone();
        Ok(self.shared.keep(Snapshot {
            fs: self.fs.clone(),
            tree: self.tree.clone(),
            config: self.config.clone(),
            hash: self.hash,
        }))
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    async fn close(mut self: Box<Self>) -> Result<(), VmError> {
        self.give_back();
        Ok(())
    }
}

impl Drop for MemoryMachine {
    fn drop(&mut self) {
        self.give_back();
    }
}
