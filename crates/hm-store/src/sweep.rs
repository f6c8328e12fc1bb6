//! Clearing away what dead processes, and boots that ended uncleanly, left.
//!
//! Everything that goes is first moved into the sweeping lease's own folder, so that a sweep which is killed is itself
//! swept.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::{FileError, IndexError, StoreError};
use crate::files::Reaper;
use crate::ids::{LEASE_LENGTH, LeaseId};
use crate::image::fall_back_to_blobs;
use crate::index::Index;
use crate::layout::{Layout, WORKSPACE_LAYER};
use crate::lease;

/// What was found and removed when the store was opened.
#[derive(Debug, Default)]
pub struct SweepReport {
    /// Leases of processes that had ended without closing the store.
    pub dead_leases: Vec<LeaseId>,
    /// Number of layers, logs and workspaces that nothing needs any more.
    pub removed: usize,
    /// What could not be removed; tried again with the next store that is opened.
    pub problems: Vec<FileError>,
}

/// One sweep by one lease, while it holds the store's lock.
#[derive(Debug)]
pub(crate) struct Sweep<'a> {
    layout: &'a Layout,
    index: &'a Index,
    trash: PathBuf,
    report: SweepReport,
    alive: HashSet<OsString>,
    dead: Vec<PathBuf>,
    set_aside: u64,
}

impl<'a> Sweep<'a> {
    /// Looks who is alive.
    pub(crate) fn survey(layout: &'a Layout, index: &'a Index, own: &LeaseId) -> Result<Self, StoreError> {
        let trash = layout.lease(own).join("swept");
        let mut sweep = Self {
            layout,
            index,
            trash,
            report: SweepReport::default(),
            alive: HashSet::new(),
            dead: Vec::new(),
            set_aside: 0,
        };
        for entry in list(&layout.leases())? {
            if entry.file_name() == own.as_str() || !lease::is_dead(&entry.path())? {
                sweep.alive.insert(entry.file_name());
            } else {
                sweep.dead.push(entry.path());
                sweep
                    .report
                    .dead_leases
                    .extend(entry.file_name().to_str().and_then(|name| name.parse().ok()));
            }
        }
        Ok(sweep)
    }

    /// Sets aside what dead leases left: layers and logs that no row refers to, and their own folders.
    pub(crate) fn dead_leases(&mut self) -> Result<(), StoreError> {
        if self.dead.is_empty() {
            return Ok(());
        }
        let layers = self.names("SELECT id FROM snapshots UNION SELECT flat FROM snapshots WHERE flat IS NOT NULL")?;
        self.unreferenced(&self.layout.layers(), &layers)?;
        let logs = self.names("SELECT log FROM cache WHERE log IS NOT NULL")?;
        self.unreferenced(&self.layout.logs(), &logs)?;
        self.key_locks()?;
        for folder in std::mem::take(&mut self.dead) {
            self.set_aside(&folder)?;
        }
        Ok(())
    }

    /// Drops replaced snapshots and logs that nothing refers to, where no other process may still be reading them.
    pub(crate) fn orphans(&mut self) -> Result<(), StoreError> {
        let alone = self.alive.len() == 1;
        if !alone || self.names("SELECT name FROM orphans LIMIT 1")?.is_empty() {
            return Ok(());
        }
        let logs = self.names("SELECT name FROM orphans WHERE kind = 'log'")?;
        let used = self.names("SELECT log FROM cache WHERE log IS NOT NULL")?;
        let layers = self.index.write(drop_orphans)?;
        let logs = logs.difference(&used).map(|log| self.layout.logs().join(log));
        let layers = layers.iter().map(|layer| self.layout.layers().join(layer));
        for path in logs.chain(layers).collect::<Vec<_>>() {
            self.set_aside(&path)?;
            self.report.removed += 1;
        }
        Ok(())
    }

    /// Drops the rows, and sets aside the files, that another boot made and that may not have reached the disk.
    pub(crate) fn other_boots(&mut self, boot: &str) -> Result<(), StoreError> {
        let last: Option<String> = self.index.read(|index| {
            let mut ask = index.prepare("SELECT value FROM meta WHERE name = 'boot'")?;
            let mut rows = ask.query([])?;
            rows.next()?.map(|row| row.get(0)).transpose()
        })?;
        if last.as_deref() == Some(boot) {
            return Ok(());
        }
        // Files go first: when this is cut short the rows are still of another boot, and all of it is done again.
        let soft = format!("durable <> 1 AND boot <> '{boot}'");
        // A tree whose files were made again lies beside a manifest that is as sure as the snapshots that need it.
        let manifests = format!("SELECT tree FROM snapshots WHERE tree IS NOT NULL AND NOT ({soft})");
        for (folder, query) in [
            (self.layout.layers(), format!("SELECT id FROM snapshots WHERE {soft}")),
            (
                self.layout.layers(),
                format!("SELECT flat FROM snapshots WHERE flat IS NOT NULL AND {soft}"),
            ),
            (
                self.layout.logs(),
                format!("SELECT log FROM cache WHERE log IS NOT NULL AND {soft}"),
            ),
            (
                self.layout.workspaces(),
                format!("SELECT tree FROM workspaces WHERE {soft} AND tree NOT IN ({manifests})"),
            ),
        ] {
            for name in self.names(&query)? {
                self.set_aside(&folder.join(name))?;
                self.report.removed += 1;
            }
        }
        for name in self.names(&format!(
            "SELECT tree FROM workspaces WHERE {soft} AND tree IN ({manifests})"
        ))? {
            self.set_aside(&self.layout.workspaces().join(name).join(WORKSPACE_LAYER))?;
            self.report.removed += 1;
        }
        self.image_layers(boot)?;
        self.index.write::<_, StoreError>(|change| {
            fall_back_to_blobs(change, self.layout, &soft)?;
            change.execute(
                &format!("UPDATE workspaces SET durable = 1 WHERE {soft} AND tree IN ({manifests})"),
                [],
            )?;
            for table in crate::index::DURABLE_TABLES {
                change.execute(&format!("DELETE FROM {table} WHERE {soft}"), [])?;
            }
            change.execute(
                "INSERT OR REPLACE INTO meta (name, value) VALUES ('boot', ?1)",
                params![boot],
            )?;
            Ok(())
        })?;
        Ok(())
    }

    /// Removes what was set aside. The store's lock is not needed for it.
    pub(crate) fn finish(mut self, reaper: &Reaper) -> SweepReport {
        if self.set_aside > 0 {
            reaper.remove(self.trash);
            self.report.problems = reaper.wait();
        }
        self.report
    }

    /// Sets aside the entries of `folder` that belong to no living lease and that are not in `referenced`.
    fn unreferenced(&mut self, folder: &Path, referenced: &HashSet<String>) -> Result<(), StoreError> {
        for entry in list(folder)? {
            let name = entry.file_name();
            let Some(text) = name.to_str() else { continue };
            let Some(owner) = owner(text) else { continue };
            if self.alive.contains(&OsString::from(owner)) || referenced.contains(text) {
                continue;
            }
            self.set_aside(&entry.path())?;
            self.report.removed += 1;
        }
        Ok(())
    }

    /// Sets aside layers of images that no trusted image has.
    fn image_layers(&mut self, boot: &str) -> Result<(), StoreError> {
        let trusted = self.names(&format!(
            "SELECT layers FROM images WHERE unpacked AND (durable = 1 OR boot = '{boot}')"
        ))?;
        for entry in list(&self.layout.layers())? {
            let name = entry.file_name();
            let Some(text) = name
                .to_str()
                .filter(|text| text.starts_with('i') && !text.contains('-'))
            else {
                continue;
            };
            if !trusted.iter().any(|layers| layers.contains(text)) {
                self.set_aside(&entry.path())?;
                self.report.removed += 1;
            }
        }
        Ok(())
    }

    /// Removes lock files of cache keys that nobody holds.
    fn key_locks(&self) -> Result<(), StoreError> {
        for entry in list(&self.layout.key_locks())? {
            let path = entry.path();
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() {
                fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, path: &Path) -> Result<(), StoreError> {
        if self.set_aside == 0 {
            fs::create_dir(&self.trash).map_err(FileError::at("make", &self.trash))?;
        }
        self.set_aside += 1;
        let to = self.trash.join(self.set_aside.to_string());
        match fs::rename(path, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => Ok(other.map_err(FileError::at("set aside", path))?),
        }
    }

    fn names(&self, query: &str) -> Result<HashSet<String>, StoreError> {
        self.index.read(|index| {
            let mut ask = index.prepare(query)?;
            let names = ask.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(names)
        })
    }
}

/// Deletes the rows of orphaned snapshots that neither an entry nor a child needs, with ancestors that only they
/// needed, and gives the names of their layers.
fn drop_orphans(change: &Transaction<'_>) -> Result<Vec<String>, IndexError> {
    let mut layers = Vec::new();
    let mut left: Vec<String> = change
        .prepare("SELECT name FROM orphans WHERE kind = 'snapshot'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut delete = change.prepare(
        "DELETE FROM snapshots WHERE id = ?1
            AND NOT EXISTS (SELECT 1 FROM cache WHERE snapshot = ?1)
            AND NOT EXISTS (SELECT 1 FROM snapshots AS child WHERE child.parent = ?1)
         RETURNING parent, flat",
    )?;
    while let Some(id) = left.pop() {
        let columns =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?));
        if let Some((parent, flat)) = delete.query_row([&id], columns).optional()? {
            layers.push(id);
            layers.extend(flat);
            left.extend(parent);
        }
    }
    change.execute("DELETE FROM orphans", [])?;
    Ok(layers)
}

/// The lease in the name of a layer (`LEASE-N`, `fLEASE-N`) or log (`LEASE-N.log`).
fn owner(name: &str) -> Option<&str> {
    let (owner, _) = name.split_once('-')?;
    match owner.len() {
        LEASE_LENGTH => Some(owner),
        _ => owner.strip_prefix('f').filter(|owner| owner.len() == LEASE_LENGTH),
    }
}

fn list(folder: &Path) -> Result<Vec<DirEntry>, FileError> {
    fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(FileError::at("list", folder))
}
