//! One worker on a key at a time, in all processes that share the store.
//!
//! Within the process turns are taken in order. Between processes the lock is `flock(2)` on a file of the key's name:
//! it ends with its holder, however that ends. The holder removes the file before it lets go, so none gather.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::error::FileError;
use crate::ids::CacheKey;
use crate::store::Store;

/// How often another process's lock is looked at: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// Who is next within this process, for keys that somebody holds or waits for.
#[derive(Debug, Default)]
pub(crate) struct KeyTurns {
    turns: Mutex<HashMap<CacheKey, Weak<Turn<()>>>>,
}

impl KeyTurns {
    fn of(&self, key: &CacheKey) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(*key, Arc::downgrade(&turn));
        turn
    }

    fn forget(&self, key: &CacheKey) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // The holder's own reference is the last where nobody waits.
        if turns.get(key).is_some_and(|turn| turn.strong_count() <= 1) {
            turns.remove(key);
        }
    }
}

/// The right to work on a key; ends when it is dropped, and with the process.
#[derive(Debug)]
pub struct KeyLock {
    key: CacheKey,
    path: PathBuf,
    file: File,
    store: Store,
    _turn: OwnedMutexGuard<()>,
}

impl KeyLock {
    /// What it locks.
    pub fn key(&self) -> &CacheKey {
        &self.key
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // A file that can't be removed is in nobody's way: the next holder uses it, and a sweep removes it.
        fs::remove_file(&self.path).ok();
        self.file.unlock().ok();
        self.store.key_turns().forget(&self.key);
    }
}

pub(super) async fn wait(store: &Store, key: &CacheKey) -> Result<KeyLock, FileError> {
    let turn = store.key_turns().of(key).lock_owned().await;
    let path = path(store, key);
    let mut pause = FIRST_LOOK;
    loop {
        if let Some(file) = lock_file(&path)? {
            return Ok(KeyLock {
                key: *key,
                path,
                file,
                store: store.clone(),
                _turn: turn,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

pub(super) fn attempt(store: &Store, key: &CacheKey) -> Result<Option<KeyLock>, FileError> {
    let Ok(turn) = store.key_turns().of(key).try_lock_owned() else {
        return Ok(None);
    };
    let path = path(store, key);
    let file = lock_file(&path)?;
    Ok(file.map(|file| KeyLock {
        key: *key,
        path,
        file,
        store: store.clone(),
        _turn: turn,
    }))
}

fn path(store: &Store, key: &CacheKey) -> PathBuf {
    store.layout().key_locks().join(key.to_hex())
}

/// The locked file, where no other process has it.
fn lock_file(path: &Path) -> Result<Option<File>, FileError> {
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(FileError::at("make", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(FileError::at("lock", path)(error)),
        }
        // The last holder may have removed it between the opening and the locking: then it is no longer the key's.
        if is_still_at(&file, path).map_err(FileError::at("read", path))? {
            return Ok(Some(file));
        }
    }
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(there) => Ok(there.ino() == file.metadata()?.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
