//! The output of a command: two pipes, read as bytes arrive.

use std::io;
use std::os::fd::OwnedFd;

use hm_plugin_protocol::Stream;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::net::unix::pipe::Receiver;

use crate::machine::OutputSink;

/// Bytes that a pipe takes at first (pipe(7)), and how many are read at once.
const READ: usize = 64 * 1024;
/// For commands that write much; the greatest size that anybody may ask for by default (`pipe-max-size`).
const LARGE: usize = 1024 * 1024;

/// The reading end of one stream.
#[derive(Debug)]
pub(super) struct Reader {
    stream: Stream,
    /// `None` after its end.
    pipe: Option<Receiver>,
    enlarged: bool,
}

/// A pipe: the reader, and the end for the command.
pub(super) fn pipe(stream: Stream) -> io::Result<(Reader, OwnedFd)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    let pipe = Receiver::from_owned_fd_unchecked(ours)?;
    Ok((
        Reader {
            stream,
            pipe: Some(pipe),
            enlarged: false,
        },
        theirs,
    ))
}

/// Room for one read, shared by the streams of a command.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; READ]
}

impl Reader {
    /// Waits until there is something to read or the stream has ended; for ever after its end.
    pub(super) async fn ready(&self) -> io::Result<()> {
        match &self.pipe {
            Some(pipe) => pipe.readable().await?,
            None => std::future::pending().await,
        }
        Ok(())
    }

    /// Gives to the sink what there is, at most one buffer of it. Whether there may be more.
    pub(super) fn read(&mut self, buffer: &mut [u8], sink: &dyn OutputSink) -> io::Result<bool> {
        let Some(pipe) = &self.pipe else { return Ok(false) };
        match pipe.try_read(buffer) {
            Ok(0) => {
                self.pipe = None;
                Ok(false)
            }
            Ok(length) => {
                if length == buffer.len() && !self.enlarged {
                    // Where it is not allowed the pipe stays as it is.
                    self.enlarged = true;
                    fcntl_setpipe_size(pipe, LARGE).ok();
                }
                sink.write(self.stream, &buffer[..length]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads to the end, once nobody can write any more.
    pub(super) async fn finish(&mut self, buffer: &mut [u8], sink: &dyn OutputSink) -> io::Result<()> {
        while self.pipe.is_some() {
            if !self.read(buffer, sink)? && self.pipe.is_some() {
                self.ready().await?;
            }
        }
        Ok(())
    }
}
