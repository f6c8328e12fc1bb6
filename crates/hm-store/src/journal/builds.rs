//! The builds that this store knows.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hm_plugin_protocol::{BuildStatus, RunId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::{Deserialize, Serialize};

use crate::error::{FileError, IndexError};
use crate::journal::error::JournalError;
use crate::layout::Layout;
use crate::store::Store;

/// Version of `meta.json`.
const META_VERSION: u32 = 1;

/// What a build is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BuildMeta {
    /// Its identity.
    pub run_id: RunId,
    /// The folder whose files it builds.
    pub source_root: PathBuf,
    /// The pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// As the user or the repository says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// As the user or the repository says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `meta.json` in the folder of a build.
#[derive(Serialize)]
struct MetaFile<'a> {
    version: u32,
    number: u64,
    lease: &'a str,
    started_at: String,
    #[serde(flatten)]
    meta: &'a BuildMeta,
}

/// A build as the index knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildRecord {
    /// Its number on this machine.
    pub number: u64,
    /// Its identity.
    pub run_id: String,
    /// The folder whose files it built.
    pub source_root: String,
    /// The pipeline.
    pub slug: Option<String>,
    /// When it began, to the millisecond.
    pub started_at: Timestamp,
    /// When it ended; absent while it runs, and where its process was killed.
    pub ended_at: Option<Timestamp>,
    /// Of the process.
    pub exit_code: Option<i32>,
    /// The verdict's word on the wire.
    pub status: Option<String>,
}

/// The builds of a store.
#[derive(Clone, Debug)]
pub struct Builds<'a> {
    store: &'a Store,
}

impl Store {
    /// The builds.
    pub fn builds(&self) -> Builds<'_> {
        Builds { store: self }
    }
}

const SELECT: &str = "SELECT number, run_id, root, slug, started_ms, ended_ms, exit_code, status FROM builds";

impl Builds<'_> {
    /// The newest `most` builds, newest first.
    ///
    /// # Errors
    /// The index failed.
    pub fn newest(&self, most: u32) -> Result<Vec<BuildRecord>, IndexError> {
        self.ask("ORDER BY number DESC LIMIT ?1", params![most])
    }

    /// The build with this number.
    ///
    /// # Errors
    /// The index failed.
    pub fn number(&self, number: u64) -> Result<Option<BuildRecord>, IndexError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        Ok(self.ask("WHERE number = ?1", params![number])?.pop())
    }

    /// The builds whose run id begins with `prefix`, at most two: enough to tell a unique one.
    ///
    /// # Errors
    /// The index failed.
    pub fn run_id(&self, prefix: &str) -> Result<Vec<BuildRecord>, IndexError> {
        self.ask(
            "WHERE run_id >= ?1 AND run_id < ?1 || '~' ORDER BY run_id LIMIT 2",
            params![prefix],
        )
    }

    fn ask(&self, rest: &str, params: impl Params) -> Result<Vec<BuildRecord>, IndexError> {
        self.store.index().read(|index| {
            let mut ask = index.prepare_cached(&format!("{SELECT} {rest}"))?;
            let rows = ask.query_map(params, record)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }
}

/// Gives a new build a number and a folder with its `meta.json`.
pub(super) fn enter(store: &Store, meta: &BuildMeta) -> Result<u64, JournalError> {
    let started = store.now();
    let number = store.index().write::<_, JournalError>(|change| {
        let number = make_folder(store.layout(), last_number(change)? + 1)?;
        change
            .prepare_cached(
                "INSERT INTO builds (number, run_id, root, slug, lease, started_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                i64::try_from(number).unwrap_or(i64::MAX),
                meta.run_id.to_string(),
                meta.source_root.to_string_lossy(),
                meta.slug,
                store.lease().as_str(),
                started.as_millisecond(),
            ])?;
        Ok(number)
    })?;
    let lease = store.lease().as_str();
    let file = MetaFile {
        version: META_VERSION,
        number,
        lease,
        started_at: started.to_string(),
        meta,
    };
    let json = serde_json::to_vec(&file).map_err(JournalError::Encode)?;
    write_meta(&store.layout().build(number), &json)?;
    Ok(number)
}

/// Notes how a build ended.
pub(super) fn leave(store: &Store, number: u64, exit_code: i32, status: BuildStatus) -> Result<(), JournalError> {
    let status = serde_json::to_value(status).map_err(JournalError::Encode)?;
    store.index().write(|change| {
        change
            .prepare_cached("UPDATE builds SET ended_ms = ?2, exit_code = ?3, status = ?4 WHERE number = ?1")?
            .execute(params![
                i64::try_from(number).unwrap_or(i64::MAX),
                store.now().as_millisecond(),
                exit_code,
                status.as_str()
            ])?;
        Ok(())
    })
}

fn last_number(index: &Connection) -> Result<u64, IndexError> {
    let last: Option<i64> = index
        .query_row("SELECT max(number) FROM builds", [], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(last.unwrap_or(0).unsigned_abs())
}

/// The first number from `number` on that no folder has: the index may have lost the latest with the power.
fn make_folder(layout: &Layout, mut number: u64) -> Result<u64, FileError> {
    loop {
        let path = layout.build(number);
        match fs::create_dir(&path) {
            Ok(()) => return Ok(number),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(FileError::at("make", &path)(error)),
        }
    }
}

fn write_meta(folder: &Path, json: &[u8]) -> Result<(), FileError> {
    let path = folder.join("meta.json");
    fs::write(&path, json).map_err(FileError::at("write", &path))
}

fn record(row: &Row<'_>) -> Result<BuildRecord, rusqlite::Error> {
    let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(BuildRecord {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        run_id: row.get(1)?,
        source_root: row.get(2)?,
        slug: row.get(3)?,
        started_at: time(row.get(4)?),
        ended_at: row.get::<_, Option<i64>>(5)?.map(time),
        exit_code: row.get(6)?,
        status: row.get(7)?,
    })
}
