//! The extended attributes in which overlayfs keeps its marks.

use std::ffi::CStr;

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
}
