//! Connections to an engine behind ssh(1), as the `docker` command makes them: each is a process `ssh … docker system
//! dial-stdio`, whose input and output are the connection.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use hm_sandbox::killed_with_this_thread;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tower_service::Service;

use super::address::SshDestination;

/// Never asks, as nobody may be there to answer; seconds to connect as the `docker` command has them; no terminal.
const OPTIONS: [&str; 5] = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T"];
/// Servers refuse some of more than this many that are not logged in yet (`sshd_config(5)`, `MaxStartups`, has 10).
const STARTING: usize = 5;
/// One that is silent for so long waits for its engine.
const STARTED: Duration = Duration::from_secs(3);
/// Bytes of what ssh says that are told.
const SAID: u64 = 4096;
/// A shell's exit code for a command that isn't there (POSIX, `sh`).
const NOT_FOUND: i32 = 127;

/// Why a connection ended, or was none.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// It could not be started.
    #[error("ssh can't be started")]
    Start(#[source] Arc<io::Error>),
    /// It ended with an error.
    #[error("ssh {}{}", how(*status), told(said))]
    Ended {
        /// Where it led to.
        to: Arc<SshDestination>,
        /// How.
        status: ExitStatus,
        /// What it, or the far side, wrote to standard error.
        said: String,
    },
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "was killed".to_owned(),
    }
}

fn told(said: &str) -> String {
    match said.trim() {
        "" => String::new(),
        said => format!(": {said}"),
    }
}

impl SshError {
    /// What helps.
    pub(super) fn fix(&self) -> String {
        match self {
            Self::Start(_) => "sudo apt-get install openssh-client".to_owned(),
            Self::Ended { to, status, .. } if status.code() == Some(NOT_FOUND) => {
                format!("install the command docker on {}", to.host)
            }
            Self::Ended { to, .. } => format!(
                "have this work without a question: ssh {} docker version",
                to.arguments().join(" ")
            ),
        }
    }
}

/// Makes connections to one destination.
#[derive(Clone, Debug)]
pub(super) struct SshConnector {
    destination: Arc<SshDestination>,
    starting: Arc<Semaphore>,
    /// The first one, which may reach nobody: who asks may hear only that there is no connection.
    failed: Arc<OnceLock<SshError>>,
}

impl SshConnector {
    pub(super) fn new(destination: SshDestination) -> Self {
        Self {
            destination: Arc::new(destination),
            starting: Arc::new(Semaphore::new(STARTING)),
            failed: Arc::default(),
        }
    }

    /// Why the first connection failed that did.
    pub(super) fn failure(&self) -> Option<&SshError> {
        self.failed.get()
    }

    async fn connect(self) -> io::Result<TokioIo<SshStream>> {
        let permit = Arc::clone(&self.starting)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (tell, told) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("ssh".to_owned()).spawn(move || {
            let ended = attend(&self.destination, tell);
            if let Some(error) = &ended {
                self.failed.get_or_init(|| error.clone());
            }
            end.send(ended).ok()
        })?;
        let Ok((input, output)) = told.await else {
            // Nothing was started, and the thread says why.
            let error = ended.await.map_err(io::Error::other)?;
            return Err(error.map_or_else(|| io::ErrorKind::BrokenPipe.into(), io::Error::other));
        };
        let mut starting = JoinSet::new();
        starting.spawn(async move {
            tokio::time::sleep(STARTED).await;
            drop(permit);
        });
        Ok(TokioIo::new(SshStream {
            input: Some(process::ChildStdin::from_std(input)?),
            output: process::ChildStdout::from_std(output)?,
            end: End::Awaited(ended),
            starting,
        }))
    }
}

impl<Target> Service<Target> for SshConnector {
    type Response = TokioIo<SshStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _target: Target) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

fn command(destination: &SshDestination) -> Command {
    let mut command = Command::new("ssh");
    command.args(OPTIONS).args(destination.arguments()).arg("docker");
    if let Some(socket) = &destination.socket {
        command.args(["--host", &format!("unix://{socket}")]);
    }
    command
        .args(["system", "dial-stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for the program, which has use for its connections until its end.
        .process_group(0);
    command
}

/// Starts ssh, which is killed when this thread ends, hands on its input and output, and waits for its end: the error,
/// where it is one.
fn attend(to: &Arc<SshDestination>, tell: oneshot::Sender<(ChildStdin, ChildStdout)>) -> Option<SshError> {
    let failed = |error| Some(SshError::Start(Arc::new(error)));
    let mut child = match killed_with_this_thread(&mut command(to)).spawn() {
        Ok(child) => child,
        Err(error) => return failed(error),
    };
    let pipes = child.stdin.take().zip(child.stdout.take());
    let is_taken = pipes.is_some_and(|pipes| tell.send(pipes).is_ok());
    let mut said = Vec::new();
    if let Some(mut from) = child.stderr.take().filter(|_| is_taken) {
        // What can't be read is not told.
        from.by_ref().take(SAID).read_to_end(&mut said).ok();
        io::copy(&mut from, &mut io::sink()).ok();
    }
    match child.wait() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(SshError::Ended {
            to: Arc::clone(to),
            status,
            said: String::from_utf8_lossy(&said).into_owned(),
        }),
        Err(error) => failed(error),
    }
}

/// A connection. Where ssh ends with an error, reading and writing end with it, too.
#[derive(Debug)]
pub(super) struct SshStream {
    input: Option<process::ChildStdin>,
    output: process::ChildStdout,
    end: End,
    /// Ends at the first answer.
    starting: JoinSet<()>,
}

#[derive(Debug)]
enum End {
    Awaited(oneshot::Receiver<Option<SshError>>),
    Known(Option<SshError>),
}

impl SshStream {
    /// Once ssh has ended: its error, if it is one.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let End::Awaited(ended) = &mut self.end {
            let ended = ready!(Pin::new(ended).poll(context));
            self.end = End::Known(ended.unwrap_or_default());
        }
        Poll::Ready(match &self.end {
            End::Known(Some(error)) => Err(io::Error::other(error.clone())),
            End::Known(None) | End::Awaited(_) => Ok(()),
        })
    }

    /// An ended ssh is told by its own error.
    fn poll_closed<T>(&mut self, context: &mut Context<'_>, error: io::Error) -> Poll<io::Result<T>> {
        ready!(self.poll_end(context))?;
        Poll::Ready(Err(error))
    }
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(context, buffer))?;
        self.starting.abort_all();
        if buffer.filled().len() == before {
            return self.poll_end(context);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(input) = &mut self.input else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        match ready!(Pin::new(input).poll_write(context, bytes)) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.poll_closed(context, error),
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

impl Connection for SshStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
