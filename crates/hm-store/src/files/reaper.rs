//! Removal in the background, by several threads.
//!
//! Freeing blocks can take the time of a disk's command: 1 to 3 ms for each folder on a file system mounted with
//! `discard` and without a journal. Such waits run side by side: eight threads remove 50 times as fast as one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::error::FileError;
use crate::files::remove_tree;

/// They wait for the disk, not for a processor.
const THREADS: usize = 8;

/// Files that are removed as one job.
const FILES: usize = 32;

/// Removes what it is given; [`Reaper::wait`] tells what could not be.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The last is done first, so that few folders are begun at a time.
    jobs: Vec<Job>,
    working: usize,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
    problems: Vec<FileError>,
}

#[derive(Debug)]
enum Job {
    Folder(Arc<Folder>),
    Files(Arc<Folder>, Vec<PathBuf>),
}

/// A folder that goes when all that is in it has gone.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    parent: Option<Arc<Self>>,
    /// Jobs that are left in it, and one for its own.
    left: AtomicUsize,
}

impl Reaper {
    /// Begins to remove `path`, which nothing else may use from then on.
    pub(crate) fn remove(&self, path: PathBuf) {
        self.shared.add(Job::Folder(Folder::new(path, None)));
    }

    /// Waits until all is removed, and gives what could not be.
    pub(crate) fn wait(&self) -> Vec<FileError> {
        let mut state = self.shared.lock();
        while !state.jobs.is_empty() || state.working > 0 {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut state.problems)
    }
}

impl Drop for Reaper {
    /// Ends the threads; what they have not removed is left to a sweep.
    fn drop(&mut self) {
        let threads = {
            let mut state = self.shared.lock();
            state.stopping = true;
            state.jobs.clear();
            std::mem::take(&mut state.threads)
        };
        self.shared.changed.notify_all();
        for thread in threads {
            // A thread that panicked has said so; its job is left to a sweep.
            thread.join().ok();
        }
    }
}

impl Folder {
    fn new(path: PathBuf, parent: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            path,
            parent,
            left: AtomicUsize::new(1),
        })
    }
}

impl Shared {
    fn add(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        state.jobs.push(job);
        let idle = state.threads.len().saturating_sub(state.working);
        if idle < state.jobs.len() && state.threads.len() < THREADS && !state.stopping {
            let shared = Arc::clone(self);
            match Builder::new().name("hm-reaper".to_owned()).spawn(move || shared.work()) {
                Ok(thread) => state.threads.push(thread),
                // No thread is to be had: this one removes it.
                Err(_) if state.threads.is_empty() => {
                    let job = state.jobs.pop();
                    drop(state);
                    return job.into_iter().for_each(|job| self.run(job));
                }
                Err(_) => {}
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn work(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.stopping {
            let Some(job) = state.jobs.pop() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.working += 1;
            drop(state);
            self.run(job);
            state = self.lock();
            state.working -= 1;
            if state.working == 0 && state.jobs.is_empty() {
                self.changed.notify_all();
            }
        }
    }

    /// What fails here is met again, and told, when the outermost folder is removed.
    fn run(self: &Arc<Self>, job: Job) {
        match job {
            Job::Folder(folder) => {
                self.open(&folder).ok();
                self.done(folder);
            }
            Job::Files(folder, files) => {
                for file in files {
                    fs::remove_file(file).ok();
                }
                self.done(folder);
            }
        }
    }

    /// Adds jobs for what is in the folder, unless it is little.
    fn open(self: &Arc<Self>, folder: &Arc<Folder>) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folder.left.fetch_add(1, Ordering::Relaxed);
                self.add(Job::Folder(Folder::new(entry.path(), Some(Arc::clone(folder)))));
                continue;
            }
            files.push(entry.path());
            if files.len() == FILES {
                folder.left.fetch_add(1, Ordering::Relaxed);
                self.add(Job::Files(Arc::clone(folder), std::mem::take(&mut files)));
            }
        }
        files.iter().try_for_each(fs::remove_file)
    }

    /// Notes that a job in the folder is done, and removes it, and those around it, after the last.
    fn done(&self, folder: Arc<Folder>) {
        let mut next = Some(folder);
        while let Some(folder) = next.take() {
            if folder.left.fetch_sub(1, Ordering::AcqRel) > 1 {
                return;
            }
            match &folder.parent {
                Some(parent) => {
                    fs::remove_dir(&folder.path).ok();
                    next = Some(Arc::clone(parent));
                }
                None => self.finish(&folder.path),
            }
        }
    }

    /// Removes the outermost folder, with what could not be removed in the quick way.
    fn finish(&self, path: &Path) {
        if let Err(problem) = remove_tree(path) {
            self.lock().problems.push(problem);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removes_trees_of_any_shape() {
        let base = tempfile::tempdir().unwrap();
        let kept = base.path().join("kept");
        fs::write(&kept, "").unwrap();
        let reaper = Reaper::default();
        for tree in 0..3 {
            let root = base.path().join(tree.to_string());
            for folder in 0..20 {
                let folder = root.join(format!("{folder}/a/b"));
                fs::create_dir_all(&folder).unwrap();
                symlink(&kept, folder.join("link")).unwrap();
                for file in 0..70 {
                    fs::write(folder.join(file.to_string()), "").unwrap();
                }
            }
            fs::set_permissions(root.join("7/a"), fs::Permissions::from_mode(0o0)).unwrap();
            reaper.remove(root);
        }
        reaper.remove(base.path().join("absent"));
        assert!(reaper.wait().is_empty());
        let left: Vec<_> = fs::read_dir(base.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, [kept]);
    }
}
