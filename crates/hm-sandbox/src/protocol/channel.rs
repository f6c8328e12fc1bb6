//! A connected `SOCK_SEQPACKET` socket that carries messages of any size with file descriptors.
//!
//! A message that is too large for a packet travels in a memfd, which is then the last descriptor.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Packets up to this many bytes carry their message themselves.
const INLINE: usize = 32 * 1024;
/// Three for a step's standard streams, one for a large message.
const MAX_FDS: usize = 4;

const IN_PACKET: u8 = 0;
const IN_MEMFD: u8 = 1;

#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) message: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Channel {
    pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
    }

    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one message. With `wait: false` a full socket is `EAGAIN`, and nothing was sent.
    pub(crate) fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>], wait: bool) -> Result<(), Errno> {
        if message.len() <= INLINE {
            return self.send_packet(&[IN_PACKET], message, fds, wait);
        }
        let body = rustix::fs::memfd_create(c"hm-message", MemfdFlags::CLOEXEC)?;
        write_all(&body, message)?;
        let mut with_body = fds.to_vec();
        with_body.push(body.as_fd());
        self.send_packet(&[IN_MEMFD], &[], &with_body, wait)
    }

    fn send_packet(&self, head: &[u8], body: &[u8], fds: &[BorrowedFd<'_>], wait: bool) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::INVAL);
        }
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::DONTWAIT, !wait);
        let parts = [IoSlice::new(head), IoSlice::new(body)];
        rustix::io::retry_on_intr(|| sendmsg(&self.socket, &parts, &mut ancillary, flags)).map(|_sent| ())
    }

    /// Receives one message without waiting: `EAGAIN` if there is none, `Ok(None)` if the other side is gone.
    pub(crate) fn receive(&self) -> Result<Option<Received>, Errno> {
        let mut packet = vec![0; INLINE + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut packet)], &mut ancillary, flags)
        });
        let length = match received {
            Ok(message) => message.bytes,
            Err(Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut fds = Vec::new();
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                fds.extend(rights);
            }
        }
        if length == 0 {
            return Ok(None);
        }
        packet.truncate(length);
        let place = packet.remove(0);
        let message = match (place, fds.len()) {
            (IN_MEMFD, 1..) => read_all(&fds.remove(fds.len() - 1))?,
            _ => packet,
        };
        Ok(Some(Received { message, fds }))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl std::os::fd::AsRawFd for Channel {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes))?;
        bytes = bytes.get(written..).ok_or(Errno::IO)?;
    }
    Ok(())
}

fn read_all(fd: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let length = usize::try_from(rustix::fs::fstat(fd)?.st_size).map_err(|_| Errno::FBIG)?;
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        let space = bytes.get_mut(done..).ok_or(Errno::IO)?;
        match rustix::io::pread(fd, space, done as u64)? {
            0 => return Err(Errno::IO),
            count => done += count,
        }
    }
    Ok(bytes)
}
