//! One machine in the sandbox.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use hm_plugin_protocol::{SnapshotRef, Stream};
use hm_sandbox::{Limits as SandboxLimits, Network as SandboxNetwork, RootFs, Running, SandboxError, SpawnRequest};
use hm_store::{NewSnapshot, Scratch, SnapshotBase, SnapshotKind};

use super::exec::{Attendance, end_error};
use super::layers::Layers;
use super::output;
use super::shared::{Shared, snapshot_error};
use super::stacked::Stacked;
use crate::environment;
use crate::in_use::Use;
use crate::machine::{DEFAULT_WORKDIR, ExecOutcome, ExecRequest, HOSTNAME, Limits, Network, SharedError, Vm, VmError};
use crate::user::Identity;

const MIB: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct SandboxMachine {
    pub(super) shared: Arc<Shared>,
    pub(super) layers: Layers,
    pub(super) image_env: Vec<(String, String)>,
    pub(super) identity: Identity,
    /// Where commands start that name no folder.
    pub(super) workdir: String,
    pub(super) network: Network,
    pub(super) limits: Limits,
    /// Snapshots that it stands on.
    pub(super) uses: Vec<Use>,
    pub(super) notes: Vec<String>,
    /// What it writes; made when something runs, and after a snapshot again.
    pub(super) scratch: Option<Scratch>,
    /// A command whose `exec` was dropped: it is dying, and its machine is still mounted.
    pub(super) running: Option<Running>,
}

impl SandboxMachine {
    async fn start(
        &mut self,
        request: &ExecRequest,
        streams: (std::os::fd::OwnedFd, std::os::fd::OwnedFd),
    ) -> Result<Running, VmError> {
        self.await_dropped().await?;
        let scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => self.shared.scratch(&self.layers)?,
        };
        let rootfs = self.layers.root(self.shared.store.layout().root(), &scratch);
        let workdir = self.image_workdir(&rootfs);
        self.scratch = Some(scratch);
        let env = environment::effective(&self.image_env, &self.identity.home, request.env.clone());
        let pair = |(name, value): (String, String)| (OsString::from(name), OsString::from(value));
        let spawn = SpawnRequest {
            rootfs,
            argv: ["sh", "-c", &request.cmd].map(OsString::from).to_vec(),
            env: env.into_iter().map(pair).collect(),
            cwd: request.workdir.as_ref().map_or(workdir, PathBuf::from),
            uid: self.identity.uid,
            gid: self.identity.gid,
            groups: vec![self.identity.gid],
            hostname: HOSTNAME.to_owned(),
            network: match self.network {
                Network::Host => SandboxNetwork::Host,
                Network::Isolated => SandboxNetwork::Isolated,
                Network::None => SandboxNetwork::None,
            },
            stdout: streams.0,
            stderr: streams.1,
            stdin: None,
            binds: Vec::new(),
            limits: SandboxLimits {
                cpus: self.limits.cpus,
                memory_bytes: self.limits.memory_mib.map(|mib| mib.saturating_mul(MIB)),
                pids: self.limits.pids,
            },
        };
        self.shared.launcher().await?.spawn(spawn).await.map_err(end_error)
    }

    /// Where a command starts that names no folder: the image's, if the machine has it.
    fn image_workdir(&self, rootfs: &RootFs) -> PathBuf {
        let is_there = || {
            let lower = rootfs.lower.iter().map(|layer| rootfs.lower_base.join(layer));
            let host = rootfs.host_root.then(|| PathBuf::from("/"));
            let layers: Vec<PathBuf> = iter::once(rootfs.upper.clone()).chain(lower).chain(host).collect();
            let stacked = Stacked {
                layers: &layers,
                marks: self.shared.store.xattrs(),
            };
            stacked
                .find(Path::new(&self.workdir))
                .is_some_and(|found| found.data.is_dir())
        };
        if self.workdir == DEFAULT_WORKDIR || is_there() {
            PathBuf::from(&self.workdir)
        } else {
            DEFAULT_WORKDIR.into()
        }
    }

    /// An error of the command's start with what it is about.
    fn explained(&self, error: VmError, cmd: &str, env: &BTreeMap<String, String>) -> VmError {
        let effective = || environment::effective(&self.image_env, &self.identity.home, env.clone());
        if let VmError::NoShell { .. } = error {
            return VmError::NoShell {
                path: effective().get("PATH").cloned().unwrap_or_default(),
            };
        }
        let VmError::Exec { source } = &error else { return error };
        if let Some(SandboxError::ArgumentsTooLarge { .. }) = source.downcast_ref() {
            return too_large(cmd, &effective());
        }
        error
    }

    /// Sees a command to its end that nobody waits for any more.
    async fn await_dropped(&mut self) -> Result<(), VmError> {
        if let Some(running) = &mut self.running {
            running.kill().await.map_err(end_error)?;
            // Its end is nobody's business; that it has ended is.
            drop(running.wait().await);
            self.running = None;
        }
        Ok(())
    }
}

/// Which of a command and its variables is more than the kernel takes: 128 KiB for each (`MAX_ARG_STRLEN`), and a quarter
/// of the stack's limit for all (`execve(2)`).
fn too_large(cmd: &str, env: &BTreeMap<String, String>) -> VmError {
    const ONE: usize = 128 << 10;
    let kib = |bytes: usize| bytes.div_ceil(1 << 10);
    let size = |(name, value): &(&String, &String)| name.len() + value.len() + "=\0".len();
    let limit = "128 KiB";
    if cmd.len() >= ONE {
        return VmError::TooLarge {
            what: format!("the command has {} KiB", kib(cmd.len())),
            limit,
            fix: "write it to a script of the repository and run that",
        };
    }
    if let Some((name, value)) = env.iter().find(|variable| size(variable) > ONE) {
        return VmError::TooLarge {
            what: format!("the variable {name} has {} KiB", kib(value.len())),
            limit,
            fix: "write its value to a file",
        };
    }
    let all = cmd.len() + env.iter().map(|variable| size(&variable)).sum::<usize>();
    VmError::TooLarge {
        what: format!("the command and its {} variables have {} KiB", env.len(), kib(all)),
        limit: "a quarter of the stack's limit (ulimit -s)",
        fix: "write large values to files",
    }
}

#[async_trait]
impl Vm for SandboxMachine {
    async fn exec(&mut self, request: ExecRequest) -> Result<ExecOutcome, VmError> {
        if request.stop.is_stopped() {
            return Ok(ExecOutcome::stopped_before_start());
        }
        let no_pipe = |error| VmError::Exec {
            source: Arc::new(error) as SharedError,
        };
        let (out, stdout) = output::pipe(Stream::Stdout).map_err(no_pipe)?;
        let (err, stderr) = output::pipe(Stream::Stderr).map_err(no_pipe)?;
        let started = self.start(&request, (stdout, stderr)).await;
        let running = started.map_err(|error| self.explained(error, &request.cmd, &request.env))?;
        let ExecRequest {
            cmd,
            env,
            workdir: _,
            stop,
            grace,
            sink,
        } = request;
        let running = self.running.insert(running);
        let attendance = Attendance {
            running,
            out,
            err,
            sink: &*sink,
            stop: &stop,
            grace,
        };
        let ended = attendance.see_to_end().await;
        self.running = None;
        ended.map_err(|error| self.explained(error, &cmd, &env))
    }

    async fn snapshot(&mut self) -> Result<SnapshotRef, VmError> {
        self.await_dropped().await?;
        let scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => self.shared.scratch(&self.layers)?,
        };
        let new = NewSnapshot {
            base: self.layers.base.clone(),
            kind: SnapshotKind::Step,
        };
        let snapshots = self.shared.store.snapshots();
        let snapshot = snapshots.commit(scratch, new).map_err(snapshot_error)?;
        let layer = PathBuf::from("l").join(&snapshot.0);
        self.layers.lower.insert(0, layer);
        self.layers.depth += 1;
        self.layers.base = SnapshotBase::Snapshot(snapshot.clone());
        self.uses.push(self.shared.in_use.enter(&snapshot));
        self.shared.flatten_if_deep(&snapshot, self.layers.depth);
        Ok(snapshot)
    }

    fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    async fn close(mut self: Box<Self>) -> Result<(), VmError> {
        self.await_dropped().await?;
        let Some(scratch) = self.scratch.take() else {
            return Ok(());
        };
        scratch.close().map_err(|error| VmError::Close {
            source: Arc::new(error),
        })
    }
}
