//! The index: one `SQLite` file, shared by all processes that use the store.
//!
//! Write-ahead log, `synchronous=NORMAL`, and no checkpoint but the one of [`crate::Store::make_durable`] and of a log
//! that has grown large: a commit never waits for the disk (see `docs/design/store.md`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{FileError, IndexError};

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Size of the write-ahead log in bytes from which closing checkpoints it.
const LARGE_LOG: u64 = 32 << 20;

/// Each entry leads from one version (its position) to the next.
const MIGRATIONS: [&str; 3] = [VERSION_1, VERSION_2, VERSION_3];

/// `boot` and `durable` say whether what the row speaks of has surely reached the disk: 0 no, 2 being synced, 1 yes.
/// Rows of another boot whose `durable` isn't 1 are distrusted and swept.
const VERSION_1: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;

CREATE TABLE snapshots (
    id TEXT PRIMARY KEY,
    parent TEXT,
    kind TEXT NOT NULL,
    image TEXT NOT NULL,
    image_layers TEXT,
    base_tree TEXT,
    tree TEXT,
    flat TEXT,
    layer_hash TEXT,
    boot TEXT NOT NULL,
    durable INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;
CREATE INDEX snapshots_parent ON snapshots (parent) WHERE parent IS NOT NULL;
CREATE INDEX snapshots_tree ON snapshots (tree) WHERE tree IS NOT NULL;
CREATE INDEX snapshots_base_tree ON snapshots (base_tree) WHERE base_tree IS NOT NULL;
CREATE INDEX snapshots_soft ON snapshots (boot) WHERE durable <> 1;

CREATE TABLE cache (
    key TEXT PRIMARY KEY,
    snapshot TEXT,
    state TEXT,
    log TEXT,
    duration_ms INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    step_key TEXT NOT NULL,
    parts TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER NOT NULL,
    boot TEXT NOT NULL,
    durable INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;
CREATE INDEX cache_snapshot ON cache (snapshot) WHERE snapshot IS NOT NULL;
CREATE INDEX cache_soft ON cache (boot) WHERE durable <> 1;

CREATE TABLE orphans (kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID, STRICT;

CREATE TABLE workspaces (
    tree TEXT PRIMARY KEY,
    root TEXT NOT NULL,
    last_used INTEGER NOT NULL,
    boot TEXT NOT NULL,
    durable INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;
CREATE INDEX workspaces_root ON workspaces (root, last_used);
CREATE INDEX workspaces_soft ON workspaces (boot) WHERE durable <> 1;

CREATE TABLE image_sources (reference TEXT PRIMARY KEY, stat TEXT NOT NULL, digest TEXT NOT NULL)
    WITHOUT ROWID, STRICT;

CREATE TABLE images (
    digest TEXT PRIMARY KEY,
    layers TEXT NOT NULL,
    config TEXT NOT NULL,
    boot TEXT NOT NULL,
    durable INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID, STRICT;
CREATE INDEX images_soft ON images (boot) WHERE durable <> 1;

CREATE TABLE builds (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    root TEXT NOT NULL,
    slug TEXT,
    lease TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    exit_code INTEGER,
    status TEXT
) STRICT;

CREATE TABLE durations (
    root TEXT NOT NULL,
    step_key TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (root, step_key)
) WITHOUT ROWID, STRICT;
";

/// Images may be kept as their registry stores them (`packed`), and be unpacked later.
const VERSION_2: &str = "
ALTER TABLE images ADD COLUMN packed TEXT;
ALTER TABLE images ADD COLUMN unpacked INTEGER NOT NULL DEFAULT 1;
";

/// What layers of snapshots take on disk, for eviction.
const VERSION_3: &str = "
CREATE TABLE layer_sizes (layer TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID, STRICT;
";

/// The tables whose rows carry `boot` and `durable`.
pub(crate) const DURABLE_TABLES: [&str; 4] = ["snapshots", "cache", "workspaces", "images"];

/// A connection to the index, used by one thread at a time.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Index {
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let mut connection = connect(path)?;
        migrate(&mut connection)?;
        Ok(Self {
            path: path.to_path_buf(),
            connection: Mutex::new(connection),
        })
    }

    /// Asks the index; use `prepare_cached` inside.
    pub fn read<T, E: From<rusqlite::Error>>(&self, ask: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        ask(&self.lock())
    }

    /// Changes the index in one transaction: all of it, or nothing where `change` fails.
    pub fn write<T, E: From<rusqlite::Error>>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = change(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    /// Another connection to the same file, for work that takes long.
    pub(crate) fn second_connection(&self) -> Result<Connection, IndexError> {
        Ok(connect(&self.path)?)
    }

    /// Waits until all that was committed has reached the disk.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        let log = self.log();
        let synced = File::open(&log).and_then(|file| file.sync_data());
        synced.map_err(FileError::at("sync", &log))
    }

    fn log(&self) -> PathBuf {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        log.into()
    }

    /// Writes the log back into the file when it has grown large.
    pub(crate) fn trim(&self) -> Result<(), IndexError> {
        let length = std::fs::metadata(self.log()).map_or(0, |metadata| metadata.len());
        if length > LARGE_LOG {
            checkpoint(&self.lock(), "PASSIVE")?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the write-ahead log back into the file, with the syncs that this needs.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<(), IndexError> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))?;
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), IndexError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version(connection)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        return Err(IndexError::Version { found, known });
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
