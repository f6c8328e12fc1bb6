//! Watching a descriptor with tokio.

use std::io;

use tokio::io::unix::AsyncFd;

use crate::protocol::Channel;

/// Watches the channel's socket. To be called in a tokio runtime with IO enabled.
pub(crate) fn watch(channel: Channel) -> io::Result<AsyncFd<Channel>> {
    // SAFETY: the channel owns its socket, always gives the same one, and closes it only when it is dropped, which the
    // `AsyncFd` that owns it does after it stopped to watch.
    unsafe { AsyncFd::register(channel) }.map_err(Into::into)
}
