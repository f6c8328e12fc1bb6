//! Mounting an overlay (kernel: Documentation/filesystems/overlayfs.rst).

use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::error::{SetupError, Stage, at};

/// fsconfig(2) takes strings below this length.
const FSCONFIG_STRING: usize = 256;
/// mount(2) reads one page of options and drops the rest without a word.
const MOUNT_OPTIONS: usize = 4096;

/// The attribute of folders that hide what is beneath, in overlays of root.
pub(crate) const OPAQUE_BY_ROOT: &str = "trusted.overlay.opaque";
/// The same where marks are kept in `user.` attributes ([`Overlay::user_xattr`]).
pub(crate) const OPAQUE_BY_USER: &str = "user.overlay.opaque";

/// An overlay to mount.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    /// Top first; relative ones are taken from `base`.
    pub(crate) lower: Vec<&'a Path>,
    pub(crate) base: &'a Path,
    /// The upper and the work folder; `None`: read-only.
    pub(crate) writable: Option<(&'a Path, &'a Path)>,
    pub(crate) mount_point: &'a Path,
    /// Keep the overlay's marks in `user.` attributes, as a user namespace has to.
    pub(crate) user_xattr: bool,
    /// Use mount(2): [`takes_layers_one_by_one`] is false.
    pub(crate) classic: bool,
}

/// Whether layers can be named one by one, as from Linux 6.8 on. Else they have to be one string, which ends at a page.
///
/// Before Linux 6.5 fsconfig(2) accepts any option of an overlay and collects it; what is wrong shows when the mount is made.
/// So one that there is not is tried as well.
pub(crate) fn takes_layers_one_by_one() -> bool {
    let Ok(context) = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) else {
        return false;
    };
    fsconfig_set_flag(&context, "no-such-option").is_err() && fsconfig_set_string(&context, "lowerdir+", "/").is_ok()
}

impl Overlay<'_> {
    /// Mounts it. Changes the working directory.
    pub(crate) fn mount(&self) -> Result<(), SetupError> {
        let prepared = self.prepare()?;
        self.place(prepared)
    }

    /// Makes the mount where the kernel can make one that is not attached. Changes the working directory.
    pub(crate) fn prepare(&self) -> Result<Option<OwnedFd>, SetupError> {
        if let Some((_, work)) = self.writable {
            clear_volatile_mark(work)?;
        }
        rustix::process::chdir(self.base).map_err(at(Stage::Layer, self.base))?;
        if self.classic {
            Ok(None)
        } else {
            self.mount_by_parts().map(Some)
        }
    }

    /// Attaches what [`Overlay::prepare`] made, or mounts it now.
    pub(crate) fn place(&self, prepared: Option<OwnedFd>) -> Result<(), SetupError> {
        if let Some(mount) = prepared {
            return attach(&mount, self.mount_point);
        }
        rustix::process::chdir(self.base).map_err(at(Stage::Layer, self.base))?;
        self.mount_by_string()
    }

    /// With fsopen(2), where each layer is named in a call of its own.
    fn mount_by_parts(&self) -> Result<OwnedFd, SetupError> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at(Stage::Overlay, self.mount_point))?;
        for layer in &self.lower {
            fsconfig_set_string(&context, "lowerdir+", *layer).map_err(at(Stage::Layer, *layer))?;
        }
        if let Some((upper, work)) = self.writable {
            set_folder(&context, "upperdir", upper)?;
            set_folder(&context, "workdir", work)?;
        }
        for flag in self.flags() {
            fsconfig_set_flag(&context, flag).map_err(at(Stage::Overlay, flag))?;
        }
        fsconfig_create(&context).map_err(at(Stage::Overlay, self.mount_point))?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(at(Stage::Overlay, self.mount_point))
    }

    /// With mount(2) and one string of options.
    fn mount_by_string(&self) -> Result<(), SetupError> {
        let mut options = b"lowerdir=".to_vec();
        for (position, layer) in self.lower.iter().enumerate() {
            if position > 0 {
                options.push(b':');
            }
            push_escaped(&mut options, layer);
        }
        if let Some((upper, work)) = self.writable {
            for (key, folder) in [(&b",upperdir="[..], upper), (b",workdir=", work)] {
                options.extend_from_slice(key);
                push_escaped(&mut options, folder);
            }
        }
        for flag in self.flags() {
            options.push(b',');
            options.extend_from_slice(flag.as_bytes());
        }
        if options.len() >= MOUNT_OPTIONS {
            return Err(SetupError::new(Stage::Overlay, Errno::TOOBIG, self.mount_point));
        }
        let options = std::ffi::CString::new(options).map_err(|_| SetupError::new(Stage::Overlay, Errno::INVAL, ""))?;
        rustix::mount::mount(
            "overlay",
            self.mount_point,
            "overlay",
            MountFlags::NODEV,
            options.as_c_str(),
        )
        .map_err(at(Stage::Overlay, self.mount_point))?;
        self.verify()
    }

    fn flags(&self) -> impl Iterator<Item = &'static str> {
        let volatile = self.writable.is_some().then_some("volatile");
        volatile.into_iter().chain(self.user_xattr.then_some("userxattr"))
    }

    /// Counts the layers of what was mounted: a string that was cut still mounts.
    fn verify(&self) -> Result<(), SetupError> {
        let wrong = |errno| SetupError::new(Stage::OverlayCheck, errno, self.mount_point);
        let stat = rustix::fs::statx(CWD, self.mount_point, AtFlags::empty(), StatxFlags::MNT_ID).map_err(wrong)?;
        let table = std::fs::read("/proc/self/mountinfo").map_err(|_| wrong(Errno::IO))?;
        let id = stat.stx_mnt_id.to_string();
        let line = table
            .split(|byte| *byte == b'\n')
            .find(|line| line.split(|byte| *byte == b' ').next() == Some(id.as_bytes()))
            .ok_or(wrong(Errno::NOENT))?;
        if count_layers(line) == self.lower.len() {
            Ok(())
        } else {
            Err(wrong(Errno::TOOBIG))
        }
    }
}

/// The number of lower layers in the super block options of a line of mountinfo (`proc_pid_mountinfo(5)`).
fn count_layers(line: &[u8]) -> usize {
    let options = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    options
        .split(|byte| *byte == b',')
        .map(|option| {
            if option.starts_with(b"lowerdir+=") {
                1
            } else if let Some(list) = option.strip_prefix(b"lowerdir=") {
                // An escaped colon shows as `\134:`.
                let colons = list.split(|byte| *byte == b':').count() - 1;
                let escaped = list.windows(5).filter(|window| *window == br"\134:").count();
                1 + colons - escaped
            } else {
                0
            }
        })
        .sum()
}

/// Attaches a mount that is not attached yet.
pub(crate) fn attach(mount: &OwnedFd, place: &Path) -> Result<(), SetupError> {
    move_mount(mount, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(at(Stage::Attach, place))
}

/// Names the upper or work folder: from its parent, if its whole path is too long for fsconfig(2).
fn set_folder(context: &OwnedFd, key: &str, folder: &Path) -> Result<(), SetupError> {
    let failed = || at(Stage::Layer, folder);
    let whole = escape_backslashes(folder);
    if whole.as_os_str().len() < FSCONFIG_STRING {
        return fsconfig_set_string(context, key, whole).map_err(failed());
    }
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(SetupError::new(Stage::Layer, Errno::NAMETOOLONG, folder));
    };
    rustix::process::chdir(parent).map_err(failed())?;
    fsconfig_set_string(context, key, escape_backslashes(Path::new(name))).map_err(failed())
}

/// The kernel takes `\` in these two options as an escape, also from fsconfig(2).
fn escape_backslashes(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    if !bytes.contains(&b'\\') {
        return path.to_owned();
    }
    let escaped = bytes
        .iter()
        .flat_map(|byte| if *byte == b'\\' { vec![b'\\'; 2] } else { vec![*byte] });
    PathBuf::from(std::ffi::OsString::from_vec(escaped.collect()))
}

fn push_escaped(options: &mut Vec<u8>, path: &Path) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b',' | b':') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
}

/// Removes the mark of an earlier `volatile` mount, which says that a power cut could have torn the upper folder. The
/// caller of the sandbox knows whether one has.
fn clear_volatile_mark(work: &Path) -> Result<(), SetupError> {
    let mark = work.join("work/incompat/volatile");
    match rustix::fs::unlink(mark.join("dirty")) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        result => result.map_err(at(Stage::Overlay, &mark))?,
    }
    rustix::fs::rmdir(&mark).map_err(at(Stage::Overlay, &mark))?;
    let parent = work.join("work/incompat");
    rustix::fs::rmdir(&parent).map_err(at(Stage::Overlay, &parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_in_both_notations() {
        assert_eq!(
            count_layers(b"1 2 0:3 / /m rw - overlay overlay rw,lowerdir=a:b:c,upperdir=u"),
            3
        );
        assert_eq!(
            count_layers(b"1 2 0:3 / /m rw - overlay overlay rw,lowerdir+=a,lowerdir+=b,upperdir=u"),
            2
        );
        assert_eq!(
            count_layers(br"1 2 0:3 / /m rw - overlay overlay rw,lowerdir=a\134:x:b,upperdir=u"),
            2
        );
    }

    #[test]
    fn backslashes_are_doubled() {
        assert_eq!(escape_backslashes(Path::new(r"/a\b")), Path::new(r"/a\\b"));
    }
}
