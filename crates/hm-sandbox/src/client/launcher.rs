//! The handle of a launcher.

use std::io;
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::running::{Running, setup_error};
use super::validate;
use crate::error::SandboxError;
use crate::ids;
use crate::launcher::MARKER;
use crate::protocol::{Channel, Outcome, encode_apply, encode_mapped, encode_network, encode_spawn, encode_start};
use crate::request::{ApplyReport, ApplyRequest, Confinement, LauncherSettings, Owner, SpawnRequest};

/// A launcher process. Clones are the same launcher; it ends, with every step of it, when [`Launcher::close`] is
/// called, when the last clone is dropped, or when this process dies.
#[derive(Debug, Clone)]
pub struct Launcher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    confinement: Confinement,
    connection: Arc<Connection>,
    child: Mutex<Option<Child>>,
    /// Reads the launcher's replies; ends with this value.
    _dispatcher: JoinSet<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.connection.shut_down();
    }
}

impl Launcher {
    /// Starts a launcher: this very program, again. Its `main` must call [`crate::run_launcher_if_requested`] first.
    /// To be called in a tokio runtime with IO enabled.
    ///
    /// # Errors
    /// [`SandboxError::Setup`] tells which part of the system does not allow it.
    pub async fn start(settings: LauncherSettings) -> Result<Self, SandboxError> {
        validate::settings(&settings)?;
        let launch = |source| SandboxError::Launch { source };
        let (ours, theirs) = Channel::pair().map_err(|errno| launch(errno.into()))?;
        let child = Command::new("/proc/self/exe")
            .arg0(MARKER)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(launch)?;
        let connection = Arc::new(Connection::new(ours)?);
        connection
            .send(&encode_start(&settings, ids::subordinate_ids()), &[])
            .await?;
        let confinement = loop {
            match connection.receive_ready().await? {
                Outcome::Ready(confinement) => break confinement,
                Outcome::Unmapped => {
                    map_ids(&child).map_err(launch)?;
                    connection.send(&encode_mapped(), &[]).await?;
                }
                Outcome::Failed(error) => return Err(setup_error(error, Owner { uid: 0, gid: 0 })),
                Outcome::Code(_) | Outcome::Signal(_) | Outcome::Applied { .. } | Outcome::Silent => {
                    return Err(SandboxError::Malformed);
                }
            }
        };
        let mut dispatcher = JoinSet::new();
        dispatcher.spawn(Arc::clone(&connection).dispatch());
        let inner = Inner {
            confinement,
            connection,
            child: Mutex::new(Some(child)),
            _dispatcher: dispatcher,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts a step. It returns when the request is on its way; what goes wrong with the machine or the command is
    /// told by [`Running::wait`].
    ///
    /// # Errors
    /// An invalid request, or a launcher that is gone.
    pub async fn spawn(&self, request: SpawnRequest) -> Result<Running, SandboxError> {
        validate::spawn(&request)?;
        let connection = &self.inner.connection;
        let id = connection.next_id();
        let message = encode_spawn(id, &request);
        let streams = request.stdin.iter().chain([&request.stdout, &request.stderr]);
        let fds: Vec<_> = streams.map(AsFd::as_fd).collect();
        let ended = connection.request(id, &message, &fds).await?;
        let owner = Owner {
            uid: request.uid,
            gid: request.gid,
        };
        Ok(Running::new(Arc::clone(connection), id, ended, owner))
    }

    /// Brings a folder of a machine from one tree to another. A failure may leave a part of it done: the machine is to
    /// be thrown away then.
    ///
    /// # Errors
    /// [`SandboxError::Setup`] names the path and the cause.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyReport, SandboxError> {
        validate::apply(request)?;
        let connection = &self.inner.connection;
        let id = connection.next_id();
        let ended = connection.request(id, &encode_apply(id, request), &[]).await?;
        match ended.await.map_err(|_closed| SandboxError::LauncherGone)?.outcome {
            Outcome::Applied { conflicts } => Ok(ApplyReport { conflicts }),
            Outcome::Failed(error) => Err(setup_error(error, request.owner)),
            Outcome::Silent => Err(SandboxError::LauncherGone),
            Outcome::Code(_) | Outcome::Signal(_) | Outcome::Ready(_) | Outcome::Unmapped => {
                Err(SandboxError::Malformed)
            }
        }
    }

    /// Tries whether steps can have [`crate::Network::Isolated`]; `false`: they can, but the host itself has no way out.
    ///
    /// # Errors
    /// [`SandboxError::Setup`] tells what is missing.
    pub async fn try_isolated_network(&self) -> Result<bool, SandboxError> {
        let connection = &self.inner.connection;
        let id = connection.next_id();
        let ended = connection.request(id, &encode_network(id), &[]).await?;
        match ended.await.map_err(|_closed| SandboxError::LauncherGone)?.outcome {
            Outcome::Code(has_uplink) => Ok(has_uplink != 0),
            Outcome::Failed(error) => Err(setup_error(error, Owner { uid: 0, gid: 0 })),
            Outcome::Silent => Err(SandboxError::LauncherGone),
            Outcome::Signal(_) | Outcome::Applied { .. } | Outcome::Unmapped | Outcome::Ready(_) => {
                Err(SandboxError::Malformed)
            }
        }
    }

    /// What holds for the machines of this launcher.
    pub fn confinement(&self) -> Confinement {
        self.inner.confinement
    }

    /// Ends the launcher and everything it started, and waits for it. Requests of other clones fail with
    /// [`SandboxError::LauncherGone`].
    pub async fn close(&self) -> Result<(), SandboxError> {
        self.inner.connection.shut_down();
        let mut child = self.inner.child.lock().await;
        if let Some(child) = child.as_mut() {
            child.wait().await.map_err(|source| SandboxError::Launch { source })?;
        }
        *child = None;
        Ok(())
    }

    /// The launcher's process id, for reports.
    pub async fn pid(&self) -> Option<u32> {
        self.inner.child.lock().await.as_ref().and_then(Child::id)
    }
}

/// Gives the launcher the ids that this process has taken.
fn map_ids(launcher: &Child) -> io::Result<()> {
    let gone = || io::Error::from(Errno::SRCH);
    let ids = ids::of_process().map_err(|_single| gone())?;
    ids.map(launcher.id().ok_or_else(gone)?)
}
