//! The two traits and their guarantees.

use std::fmt::Debug;

use async_trait::async_trait;
use hm_plugin_protocol::SnapshotRef;

use super::{BootImage, ExecOutcome, ExecRequest, MachineRequest, VmError};
use hm_store::ContentHash;

/// Makes machines. The guarantees below hold for every backend; `tests/conformance.rs` checks them on each.
///
/// * Calls may come from many tasks at once, also for the same image or snapshot.
/// * Machines don't see each other: nothing that one does to its files, processes or environment reaches another.
/// * A future that is dropped before its end leaves nothing running; what it had made is given back by
///   [`VmBackend::close`] at the latest, or by the sweep of the next start.
#[async_trait]
pub trait VmBackend: Send + Sync + Debug {
    /// A word that names the backend in settings and messages.
    fn name(&self) -> &'static str;

    /// Finds an image and gets it ready to boot. The digest is a function of the image's content alone: equal content
    /// has an equal digest and changed content another.
    async fn resolve_image(&self, image: &str) -> Result<BootImage, VmError>;

    /// Makes a machine from an image. The image itself never changes. The workspace of the request is at `/workspace`,
    /// exactly as captured: names, types, modes, times, link targets, empty folders; owned by the machine's user.
    /// Without a workspace `/workspace` is an empty folder.
    async fn create(&self, image: &BootImage, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError>;

    /// Makes a machine that holds what the snapshot holds, any number of them at once.
    ///
    /// The *delta rule*: a snapshot remembers the workspace that went into it. Where the request's workspace is the same
    /// (by tree id), or absent, nothing is applied: what steps wrote stays. Otherwise exactly the difference between the
    /// two is applied: entries that are new or changed in the newer one are written as they are there, entries that are
    /// gone from it are removed, and nothing else is touched. A folder that is gone goes only if nothing but the older
    /// workspace's entries was in it. An entry that a step changed and that differs between the workspaces becomes what
    /// the newer workspace says, and [`Vm::take_notes`] names it.
    async fn restore(&self, snapshot: &SnapshotRef, request: &MachineRequest) -> Result<Box<dyn Vm>, VmError>;

    /// The hash of the files of a snapshot: names, types, modes, owners, link targets and contents, not times. Equal
    /// when the same image got the same changes in the same steps; different when any of these differ.
    async fn content_hash(&self, snapshot: &SnapshotRef) -> Result<ContentHash, VmError>;

    /// Says that the snapshot isn't needed any more. Snapshots made from it stay whole. Refused with [`VmError::InUse`]
    /// while a machine that was restored from it isn't closed. A snapshot that a cache entry refers to stays.
    async fn release(&self, snapshot: &SnapshotRef) -> Result<(), VmError>;

    /// Whether [`VmBackend::restore`] can find the snapshot.
    async fn exists(&self, snapshot: &SnapshotRef) -> bool;

    /// Gives everything back that outlives no build. All machines must be closed before.
    async fn close(&self) -> Result<(), VmError>;
}

/// One machine.
///
/// It is closed with [`Vm::close`]. A machine that is dropped instead still ends its processes, and its files are given
/// back by the next sweep.
#[async_trait]
pub trait Vm: Send + Debug {
    /// Runs a command as `sh -c CMD` and returns at its end. May be called again; files stay between calls, processes
    /// don't.
    ///
    /// * When it returns, in whatever way, nothing that the command started is running, and every byte of output was
    ///   given to the sink, each stream in order.
    /// * Standard input is empty. The environment is the image's, then the baseline (`HOME`, `PATH` where unset), then
    ///   the request's, and nothing of the environment that `hm` runs in.
    /// * [`super::StopToken::stop`]: SIGTERM to the command's process group, SIGKILL to all that is left after the
    ///   grace. A command that ends in the grace has its own exit code; `stopped` is true in each case.
    /// * A command that isn't there is exit code 127 by the shell. A missing `sh` is [`VmError::NoShell`], a missing
    ///   working folder [`VmError::Workdir`].
    async fn exec(&mut self, request: ExecRequest) -> Result<ExecOutcome, VmError>;

    /// Keeps the files as they are. Costs no copy of data. The machine can go on; nothing that it does later changes
    /// the snapshot. The snapshot holds no `/proc`, `/sys`, `/dev` and no process.
    async fn snapshot(&mut self) -> Result<SnapshotRef, VmError>;

    /// As [`Vm::snapshot`], for the end of a machine's work: a snapshot for other machines of this backend, which no cache
    /// entry will refer to. A backend may put off what such a snapshot costs until a machine is made of it.
    async fn hand_over(&mut self) -> Result<SnapshotRef, VmError> {
        self.snapshot().await
    }

    /// Notes for the step's log about how the machine was made, such as conflicts under the delta rule. Each note is
    /// given once.
    fn take_notes(&mut self) -> Vec<String>;

    /// Ends what runs and gives everything back but snapshots.
    async fn close(self: Box<Self>) -> Result<(), VmError>;
}
