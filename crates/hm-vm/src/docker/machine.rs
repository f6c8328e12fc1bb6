//! One machine: a snapshot, and a container for each command.

use std::sync::Arc;

use async_trait::async_trait;
use hm_plugin_protocol::SnapshotRef;

use super::container::{GO_DIR, GO_SYMLINK, Shell, WORKDIR};
use super::error::DockerError;
use super::janitor;
use super::keep::Keep;
use super::nodes::Node;
use super::pending::Left;
use super::record::{Origin, Record};
use super::script::{own_name, script};
use super::shared::{Shared, exec_error, start_error};
use crate::environment::{self, DEFAULT_PATH};
use crate::in_use::Use;
use crate::machine::{ExecOutcome, ExecRequest, Limits, MachineRequest, Network, Vm, VmError};

/// A command that isn't there (POSIX, `sh`); the engine's init uses it as well.
const NOT_FOUND: i32 = 127;
/// What Podman's init, catatonit, says of one.
const NO_SHELL: i32 = 1;

#[derive(Debug)]
pub(super) struct DockerMachine {
    pub(super) shared: Arc<Shared>,
    /// What the next container is made from.
    pub(super) snapshot: SnapshotRef,
    pub(super) record: Arc<Record>,
    pub(super) network: Network,
    pub(super) limits: Limits,
    pub(super) uses: Vec<Use>,
    pub(super) notes: Vec<String>,
    /// Snapshots that were made between two commands, for nobody else.
    pub(super) between: Vec<SnapshotRef>,
    pub(super) container: Option<Container>,
    /// Of what its container was made from, where another machine made it.
    pub(super) holds: Vec<Use>,
    /// What it was handed over as.
    pub(super) left: Option<SnapshotRef>,
}

/// What commands ran, or run, in.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    network: Network,
    limits: Limits,
    phase: Phase,
}

impl Container {
    /// Whether a machine of this kind could go on in it.
    pub(super) fn suits(&self, request: &MachineRequest) -> bool {
        self.network == request.network && self.limits == request.limits
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The engine was asked for it.
    Asked,
    /// Its command was, or is about to be, started.
    Started,
    /// Its command has ended.
    Ended,
    /// Its command was given up, and has ended. What was asked for it may still be on its way, so it isn't started again.
    GivenUp,
}

impl DockerMachine {
    /// The machine that goes on where another one ended.
    pub(super) fn going_on(shared: Arc<Shared>, left: Left, uses: Vec<Use>) -> Self {
        let Left {
            container,
            base,
            record,
            hold,
        } = left;
        Self {
            shared,
            snapshot: base,
            record,
            network: container.network,
            limits: container.limits,
            uses,
            notes: Vec::new(),
            between: Vec::new(),
            container: Some(container),
            holds: vec![hold],
            left: None,
        }
    }

    /// Sees a command to its end whose `exec` was dropped. A container of which nobody knows how far it is goes.
    async fn await_dropped(&mut self) -> Result<(), VmError> {
        let Some(container) = &mut self.container else {
            return Ok(());
        };
        match container.phase {
            Phase::Ended | Phase::GivenUp => Ok(()),
            Phase::Started => {
                let docker = &self.shared.docker;
                janitor::kill(docker, &container.name, "SIGKILL")
                    .await
                    .map_err(exec_error)?;
                // Its end is nobody's business; that it has ended is.
                drop(self.shared.ended(&container.name).await);
                container.phase = Phase::GivenUp;
                Ok(())
            }
            Phase::Asked => {
                self.shared.janitor.remove(&container.name);
                self.container = None;
                Ok(())
            }
        }
    }

    /// The container that the next command runs in: the one of the last command, else a new one.
    async fn prepare(&mut self, path: &str) -> Result<String, VmError> {
        self.take_back().await?;
        self.await_dropped().await?;
        if self.container.is_some() && !self.can_go_on() {
            let between = self.keep().await?;
            self.between.push(between);
        }
        if let Some(container) = &self.container {
            return Ok(container.name.clone());
        }
        let shared = Arc::clone(&self.shared);
        let record = Arc::clone(&self.record);
        let name = shared.new_name();
        self.container = Some(Container {
            name: name.clone(),
            network: self.network,
            limits: self.limits,
            phase: Phase::Asked,
        });
        let shell = Shell {
            image: &record.image,
            path,
            user: &record.base.user,
            network: self.network,
            limits: self.limits,
        };
        shared.create_shell(&name, &shell).await.map_err(start_error)?;
        Ok(name)
    }

    /// Whether the container can be started again.
    fn can_go_on(&self) -> bool {
        let is_whole = self
            .container
            .as_ref()
            .is_some_and(|container| container.phase == Phase::Ended);
        // What is in volumes is in no snapshot, so the next command is not to see it either.
        is_whole && !self.record.base.has_volumes
    }

    /// Goes on from what it was handed over as.
    async fn take_back(&mut self) -> Result<(), VmError> {
        if let Some(left) = self.left.take() {
            let snapshot = self.shared.settled(&left).await?;
            self.record = self.shared.node(&snapshot)?.record;
            self.uses.push(self.shared.in_use.enter(&snapshot));
            self.snapshot = snapshot;
        }
        Ok(())
    }

    async fn is_folder(&self, container: &str, path: &str) -> Result<bool, VmError> {
        let mode = self.mode(container, path).await.map_err(exec_error)?;
        Ok(mode.is_some_and(|mode| mode & (GO_DIR | GO_SYMLINK) != 0))
    }

    async fn mode(&self, container: &str, path: &str) -> Result<Option<u32>, DockerError> {
        let info = self.shared.look(container, path).await?;
        Ok(info.map(|info| info.file_mode))
    }

    async fn ran_out_of_memory(&self, container: &str) -> Result<bool, VmError> {
        let found = self.shared.docker.inspect_container(container, None).await;
        let found = found
            .map_err(DockerError::engine("look at a container"))
            .map_err(exec_error)?;
        Ok(found.state.and_then(|state| state.oom_killed).unwrap_or(false))
    }

    /// Whether one of the folders of a `PATH` has a shell.
    async fn has_shell(&self, container: &str, path: &str) -> Result<bool, VmError> {
        for folder in path.split(':') {
            let found = self.mode(container, &format!("{folder}/sh")).await;
            if found.map_err(exec_error)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What may be behind an exit code but the command's own: no working folder, no shell.
    async fn not_run(
        &self,
        container: &str,
        request: &ExecRequest,
        no_folder: bool,
    ) -> Result<Option<VmError>, VmError> {
        let workdir = request.workdir.as_deref().unwrap_or(WORKDIR);
        if no_folder && !self.is_folder(container, workdir).await? {
            return Ok(Some(VmError::Workdir {
                workdir: workdir.to_owned(),
                source: None,
            }));
        }
        let base = &self.record.base;
        let env = environment::effective(&base.env, &base.home, request.env.clone());
        let path = env.get("PATH").cloned().unwrap_or_default();
        Ok((!self.has_shell(container, &path).await?).then_some(VmError::NoShell { path }))
    }

    async fn keep(&mut self) -> Result<SnapshotRef, VmError> {
        self.take_back().await?;
        self.await_dropped().await?;
        let record = Arc::clone(&self.record);
        let snapshot = if let Some(container) = &self.container {
            let keep = Keep {
                container: &container.name,
                parent: Some(&self.snapshot),
                depth: record.depth,
                base: record.base.clone(),
                tree: record.tree,
                origin: Origin::Step,
            };
            self.shared.keep(keep).await?
        } else {
            // Nothing ran: the same image under another name.
            self.shared.keep_record(Record {
                parent: Some(self.snapshot.clone()),
                origin: Origin::Step,
                ..Record::clone(&record)
            })?
        };
        self.discard();
        let Node { record, .. } = self.shared.node(&snapshot)?;
        self.record = record;
        self.snapshot = snapshot.clone();
        Ok(snapshot)
    }

    /// Gives the container up.
    fn discard(&mut self) {
        if let Some(container) = self.container.take() {
            self.shared.janitor.remove(&container.name);
        }
    }
}

/// Ends a command whose `exec` is dropped.
struct KillOnDrop<'a> {
    shared: &'a Shared,
    name: &'a str,
    armed: bool,
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.janitor.kill(self.name);
        }
    }
}

#[async_trait]
impl Vm for DockerMachine {
    async fn exec(&mut self, request: ExecRequest) -> Result<ExecOutcome, VmError> {
        if request.stop.is_stopped() {
            return Ok(ExecOutcome::stopped_before_start());
        }
        let base = &self.record.base;
        let env = environment::effective(&base.env, &base.home, request.env.clone());
        let given = base.env.iter().map(|(name, _)| name.as_str());
        let mut text = script(&request.cmd, &env, given, request.workdir.as_deref().unwrap_or(WORKDIR));
        if self.network == Network::Host {
            text.insert_str(0, &own_name());
        }
        let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
        let name = self.prepare(path).await?;
        if let Some(container) = &mut self.container {
            container.phase = Phase::Started;
        }
        let shared = Arc::clone(&self.shared);
        let mut guard = KillOnDrop {
            shared: &shared,
            name: &name,
            armed: true,
        };
        let ended = shared
            .run(&name, text, &*request.sink, &request.stop, request.grace)
            .await;
        match ended {
            Ok(exit) => {
                guard.armed = false;
                if let Some(container) = &mut self.container {
                    container.phase = Phase::Ended;
                }
                let no_folder = exit == NOT_FOUND;
                if (no_folder || (exit == NO_SHELL && shared.is_podman))
                    && let Some(error) = self.not_run(&name, &request, no_folder).await?
                {
                    return Err(error);
                }
                Ok(ExecOutcome {
                    exit,
                    stopped: request.stop.is_stopped(),
                    out_of_memory: self.limits.memory_mib.is_some() && self.ran_out_of_memory(&name).await?,
                    out_of_pids: false,
                    usage: None,
                })
            }
            Err(error) => {
                // Nothing is to run when this returns; of the two errors the first counts.
                drop(janitor::remove(&shared.docker, &name).await);
                guard.armed = false;
                self.container = None;
                Err(exec_error(error))
            }
        }
    }

    async fn snapshot(&mut self) -> Result<SnapshotRef, VmError> {
        let snapshot = self.keep().await?;
        self.uses.push(self.shared.in_use.enter(&snapshot));
        Ok(snapshot)
    }

    async fn hand_over(&mut self) -> Result<SnapshotRef, VmError> {
        self.await_dropped().await?;
        let Some(container) = self.can_go_on().then(|| self.container.take()).flatten() else {
            return self.snapshot().await;
        };
        let snapshot = self.shared.leave(Left {
            container,
            base: self.snapshot.clone(),
            record: Arc::clone(&self.record),
            hold: self.shared.holds.enter(&self.snapshot),
        });
        self.uses.push(self.shared.in_use.enter(&snapshot));
        self.left = Some(snapshot.clone());
        Ok(snapshot)
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    async fn close(mut self: Box<Self>) -> Result<(), VmError> {
        self.await_dropped().await?;
        self.discard();
        self.holds.clear();
        self.between
            .drain(..)
            .try_for_each(|snapshot| self.shared.give_up(&snapshot))?;
        self.shared.give_up_late()
    }
}

impl Drop for DockerMachine {
    fn drop(&mut self) {
        self.discard();
    }
}
