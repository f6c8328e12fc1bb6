//! Requests to the kernel over netlink (netlink(7)).

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Flags of a request.
pub(super) const REQUEST: u16 = 0x1;
pub(super) const ACKNOWLEDGE: u16 = 0x4;
pub(super) const CREATE: u16 = 0x400;
pub(super) const EXCLUSIVE: u16 = 0x200;

const NESTED: u16 = 0x8000;
/// `NLMSG_ERROR`, which also acknowledges.
const ERROR: u16 = 2;
const HEADER: usize = 16;
/// Netlink aligns everything to four bytes.
const ALIGNMENT: usize = 4;

/// `NETLINK_ROUTE`, which is 0.
pub(super) const ROUTE: Option<Protocol> = None;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
    acknowledged: bool,
}

impl Message {
    /// A request of this kind with the fixed part that the kind has.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut message = Self {
            bytes: Vec::with_capacity(256),
            acknowledged: flags & ACKNOWLEDGE != 0,
        };
        // The length is known at the end; sequence and port stay 0.
        message.put(&[0; 4]);
        message.put(&kind.to_ne_bytes());
        message.put(&(flags | REQUEST).to_ne_bytes());
        message.put(&[0; 8]);
        message.put(fixed);
        message.align();
        message
    }

    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.put_attribute(kind, |message| message.put(value));
        self
    }

    /// An attribute that consists of a text and the NUL after it.
    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        self.attribute(kind, &[text.as_bytes(), b"\0"].concat())
    }

    /// An attribute that consists of attributes.
    pub(super) fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        self.put_attribute(kind | NESTED, |message| {
            let inner = std::mem::replace(message, Self::empty());
            *message = fill(inner);
        });
        self
    }

    /// Bytes that are no attribute.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.put(bytes);
        self.align();
        self
    }

    fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            acknowledged: false,
        }
    }

    fn put_attribute(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let begin = self.bytes.len();
        self.put(&[0; 2]);
        self.put(&kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - begin).unwrap_or(u16::MAX);
        self.overwrite(begin, &length.to_ne_bytes());
        self.align();
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.overwrite(0, &length.to_ne_bytes());
        self.bytes
    }
}

/// A socket to the kernel. It speaks of the network namespace that it was made in, for good.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    /// Opens one in this process's network namespace.
    pub(super) fn open(protocol: Option<Protocol>) -> Result<Self, Errno> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        Ok(Self { socket })
    }

    /// Sends requests in one go, which the kernel carries out in order, and gives the first error.
    pub(super) fn talk(&self, messages: Vec<Message>) -> Result<(), Errno> {
        let mut open = messages.iter().filter(|message| message.acknowledged).count();
        let bytes: Vec<u8> = messages.into_iter().flat_map(Message::finish).collect();
        rustix::io::retry_on_intr(|| send(&self.socket, &bytes, SendFlags::empty()))?;
        let mut buffer = [0; 8192];
        while open > 0 {
            let (length, _) = rustix::io::retry_on_intr(|| recv(&self.socket, &mut buffer[..], RecvFlags::empty()))?;
            for error in errors(buffer.get(..length).unwrap_or_default()) {
                open = open.saturating_sub(1);
                // After an error of a transaction its other requests are not acknowledged.
                error?;
            }
        }
        Ok(())
    }
}

/// The acknowledgements in what was received.
fn errors(mut bytes: &[u8]) -> Vec<Result<(), Errno>> {
    let mut found = Vec::new();
    while let Some((head, _)) = bytes.split_at_checked(HEADER) {
        let number = |range: std::ops::Range<usize>| head.get(range).and_then(|part| part.try_into().ok());
        let length = number(0..4).map_or(0, u32::from_ne_bytes) as usize;
        let kind: Option<[u8; 2]> = head.get(4..6).and_then(|part| part.try_into().ok());
        if kind.map(u16::from_ne_bytes) == Some(ERROR) {
            let code = bytes.get(HEADER..HEADER + 4).and_then(|part| part.try_into().ok());
            found.push(match code.map_or(0, i32::from_ne_bytes) {
                0 => Ok(()),
                negative => Err(Errno::from_raw_os_error(negative.saturating_neg())),
            });
        }
        let Some(rest) = bytes.get(length.max(HEADER).next_multiple_of(ALIGNMENT)..) else {
            break;
        };
        bytes = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_lengths_and_are_aligned() {
        let message = Message::new(16, ACKNOWLEDGE, &[1, 2, 3, 4]).nest(18, |inner| inner.text(1, "ab"));
        let bytes = message.finish();
        assert_eq!(bytes.len(), 16 + 4 + 4 + 8);
        assert_eq!(bytes[..8], [32, 0, 0, 0, 16, 0, 5, 0]);
        assert_eq!(bytes[20..], [12, 0, 18, 0x80, 7, 0, 1, 0, b'a', b'b', 0, 0]);
    }

    #[test]
    fn errors_are_found_among_other_messages() {
        let message = |kind: u16, code: i32| {
            let mut bytes = 36_u32.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.resize(16, 0);
            bytes.extend(code.to_ne_bytes());
            bytes.resize(36, 0);
            bytes
        };
        let all = [message(2, 0), message(16, 7), message(2, -1)].concat();
        assert_eq!(errors(&all), [Ok(()), Err(Errno::PERM)]);
        assert_eq!(errors(&all[..20]), [Ok(())], "one that is cut");
    }
}
