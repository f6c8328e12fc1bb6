//! The channel to the launcher, shared by all requests.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use crate::error::SandboxError;
use crate::protocol::{Channel, Malformed, Outcome, Received, Reply};
use crate::request::Usage;
use crate::sys::watch;

/// The end of a request's process.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) usage: Usage,
    pub(super) out_of_memory: bool,
    pub(super) out_of_pids: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    channel: AsyncFd<Channel>,
    next_id: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    closed: bool,
    requests: HashMap<u64, oneshot::Sender<Ended>>,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Result<Self, SandboxError> {
        let channel = watch(Channel::new(socket)).map_err(|source| SandboxError::Channel { source })?;
        Ok(Self {
            channel,
            next_id: AtomicU64::new(1),
            waiting: Mutex::default(),
        })
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request whose process reports its end to the receiver.
    pub(super) async fn request(
        &self,
        id: u64,
        message: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<oneshot::Receiver<Ended>, SandboxError> {
        let receiver = {
            let (sender, receiver) = oneshot::channel();
            let mut waiting = self.waiting();
            if waiting.closed {
                return Err(SandboxError::LauncherGone);
            }
            waiting.requests.insert(id, sender);
            receiver
        };
        let sent = self.send(message, fds).await;
        if sent.is_err() {
            self.waiting().requests.remove(&id);
        }
        sent.map(|()| receiver)
    }

    pub(super) async fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
        loop {
            match self.channel.get_ref().send(message, fds, false) {
                Ok(()) => return Ok(()),
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(send_error(errno)),
            }
            let mut ready = self
                .channel
                .writable()
                .await
                .map_err(|source| SandboxError::Channel { source })?;
            match ready.try_io(|channel| channel.get_ref().send(message, fds, false).map_err(Into::into)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(source)) => return Err(send_error(Errno::from_io_error(&source).unwrap_or(Errno::IO))),
                Err(_would_block) => {}
            }
        }
    }

    /// Sends if there is room at once.
    pub(super) fn try_send(&self, message: &[u8]) -> Result<(), SandboxError> {
        self.channel.get_ref().send(message, &[], false).map_err(send_error)
    }

    async fn receive(&self) -> Result<Option<Received>, SandboxError> {
        let error = |source| SandboxError::Channel { source };
        loop {
            let mut ready = self.channel.readable().await.map_err(error)?;
            match ready.try_io(|channel| channel.get_ref().receive().map_err(Into::into)) {
                Ok(result) => return result.map_err(error),
                Err(_would_block) => {}
            }
        }
    }

    pub(super) async fn receive_ready(&self) -> Result<Outcome, SandboxError> {
        let received = self.receive().await?.ok_or(SandboxError::LauncherGone)?;
        match Reply::decode(&received.message) {
            Ok(Reply::Ready(outcome)) => Ok(outcome),
            Ok(Reply::Ended { .. }) | Err(Malformed) => Err(SandboxError::Malformed),
        }
    }

    /// Hands replies to who waits for them until the launcher is gone.
    pub(super) async fn dispatch(self: Arc<Self>) {
        while let Ok(Some(received)) = self.receive().await {
            let Ok(Reply::Ended {
                id,
                usage,
                out_of_memory,
                out_of_pids,
                outcome,
            }) = Reply::decode(&received.message)
            else {
                break;
            };
            let sender = self.waiting().requests.remove(&id);
            if let Some(sender) = sender {
                // Nobody waits for it any more.
                let _unwanted = sender.send(Ended {
                    outcome,
                    usage,
                    out_of_memory,
                    out_of_pids,
                });
            }
        }
        self.shut_down();
    }

    /// Ends the launcher, and with it every step.
    pub(super) fn shut_down(&self) {
        let _gone_already = rustix::net::shutdown(self.channel.get_ref().as_fd(), rustix::net::Shutdown::Both);
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.requests.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_error(errno: Errno) -> SandboxError {
    match errno {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => SandboxError::LauncherGone,
        errno => SandboxError::Channel { source: errno.into() },
    }
}
