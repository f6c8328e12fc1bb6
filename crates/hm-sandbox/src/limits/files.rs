//! Files of control groups: small, and read and written as a whole.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub(super) fn write_file(folder: BorrowedFd<'_>, name: &str, text: &str) -> Result<(), Errno> {
    let file = rustix::fs::openat(folder, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, text.as_bytes())).map(|_written| ())
}

pub(super) fn read_file(folder: BorrowedFd<'_>, name: &str) -> Result<String, Errno> {
    let file = rustix::fs::openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer))? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            count => text.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// Whether a list of words, as these files hold them, has this one.
pub(super) fn has_word(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|other| other == word)
}
