//! Groups that are locked by the process that made them. A lock ends with its process however that ends, so a group
//! without one is nobody's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::process::getpid;

/// What every name begins with.
const PREFIX: &str = "hm-";
/// A sweep of another process may take away a group between its making and its locking.
const ATTEMPTS: usize = 100;
/// For nobody but its owner: who can open a folder can lock it.
const MODE: u32 = 0o700;

/// A group of this process.
#[derive(Debug)]
pub(super) struct Leased {
    parent: Rc<OwnedFd>,
    name: String,
    own: OwnedFd,
}

impl Leased {
    /// Makes a group for the step with this number.
    pub(super) fn make(parent: &Rc<OwnedFd>, step: u64) -> Result<Self, Errno> {
        let name = format!("{PREFIX}{}-{step}", getpid().as_raw_nonzero());
        for _attempt in 0..ATTEMPTS {
            match rustix::fs::mkdirat(parent, &name, Mode::from_raw_mode(MODE)) {
                // What another one left that had the same number and could not be swept.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            if let Some(own) = lock(parent.as_fd(), &name, FlockOperation::LockExclusive)? {
                return Ok(Self {
                    parent: Rc::clone(parent),
                    name,
                    own,
                });
            }
        }
        Err(Errno::BUSY)
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }

    /// Removes it. One with processes in it stays, and is swept when this process has ended.
    pub(super) fn remove(self) {
        let _stays = rustix::fs::unlinkat(&*self.parent, &self.name, AtFlags::REMOVEDIR);
    }
}

/// Opens and locks a folder; `None`: it was removed meanwhile.
fn lock(parent: BorrowedFd<'_>, name: &str, operation: FlockOperation) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    rustix::io::retry_on_intr(|| flock(&opened, operation))?;
    let inode = rustix::fs::fstat(&opened)?.st_ino;
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) if there.st_ino == inode => Ok(Some(opened)),
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Removes the groups whose makers are dead. One that still has processes stays until the next time.
pub(super) fn sweep(parent: BorrowedFd<'_>) {
    let Ok(entries) = Dir::read_from(parent) else { return };
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().to_str().ok().filter(|name| is_of_a_step(name)) else {
            continue;
        };
        if let Ok(Some(_locked)) = lock(parent, name, FlockOperation::NonBlockingLockExclusive) {
            let _stays = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
        }
    }
}

fn is_of_a_step(name: &str) -> bool {
    let numbers = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    numbers.is_some_and(|(pid, step)| pid.parse::<u32>().is_ok() && step.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_nobody_holds_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let parent = Rc::new(OwnedFd::from(fs::File::open(folder.path()).unwrap()));
        for name in ["hm-5-1", "hm-5-x", "hm-", "other", "hm-5-1-1"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let held = Leased::make(&parent, 7).unwrap();
        sweep(parent.as_fd());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let own = format!("hm-{}-7", std::process::id());
        let mut expected = vec![
            "hm-".to_owned(),
            "hm-5-1-1".to_owned(),
            "hm-5-x".to_owned(),
            own,
            "other".to_owned(),
        ];
        expected.sort();
        assert_eq!(left, expected);
        held.remove();
        assert!(!folder.path().join(format!("hm-{}-7", std::process::id())).exists());
    }

    #[test]
    fn makers_and_sweepers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let begun = std::sync::Barrier::new(2);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let parent = fs::File::open(path).unwrap();
                begun.wait();
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep(parent.as_fd());
                }
            });
            let parent = Rc::new(OwnedFd::from(fs::File::open(path).unwrap()));
            begun.wait();
            for step in 0..500 {
                let leased = Leased::make(&parent, step).unwrap();
                fs::write(path.join(&leased.name).join("limit"), "1").unwrap();
                fs::remove_file(path.join(&leased.name).join("limit")).unwrap();
                leased.remove();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }
}
