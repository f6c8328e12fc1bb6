//! Extended attributes, and among them the ones in which overlayfs keeps its marks.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs as sys;
use rustix::io::Errno;

/// Which attributes an overlay mount of this process uses: `trusted.overlay.*`, or `user.overlay.*` with the mount
/// option `userxattr` where the process isn't root (Linux `Documentation/filesystems/overlayfs.rst`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrNamespace {
    /// Root.
    Trusted,
    /// Anyone else, in a user namespace.
    User,
}

impl XattrNamespace {
    /// The one that fits this process's effective user.
    pub fn of_process() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Trusted
        } else {
            Self::User
        }
    }

    /// The attribute that makes a folder hide what lies beneath it, with value `y`.
    pub fn opaque(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.opaque",
            Self::User => c"user.overlay.opaque",
        }
    }

    /// Whether the folder hides what lies beneath it. One that can't be looked at does not.
    pub fn is_opaque(self, folder: &Path) -> bool {
        let mut value = [0; 1];
        sys::lgetxattr(folder, self.opaque(), &mut value) == Ok(1) && value == *b"y"
    }
}

/// The part after `overlay.` of an attribute that is overlayfs's own.
pub(crate) fn overlay_attribute(name: &CStr) -> Option<&[u8]> {
    let name = name.to_bytes();
    name.strip_prefix(b"trusted.overlay.")
        .or_else(|| name.strip_prefix(b"user.overlay."))
}

/// All attributes of an open file, in the order of the file system; none where it has no attributes at all.
pub(crate) fn read_attributes(file: BorrowedFd<'_>) -> Result<Vec<(CString, Vec<u8>)>, Errno> {
    let list = match grown(|buffer| sys::flistxattr(file, buffer)) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut attributes = Vec::new();
    for name in list.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = CString::new(name).or(Err(Errno::INVAL))?;
        let value = grown(|buffer| sys::fgetxattr(file, &name, buffer))?;
        attributes.push((name, value));
    }
    Ok(attributes)
}

/// Calls `read` with a buffer that is large enough.
fn grown(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    const MOST: usize = 1 << 20;
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < MOST => buffer.resize(buffer.len() * 8, 0),
            Err(error) => return Err(error),
        }
    }
}
