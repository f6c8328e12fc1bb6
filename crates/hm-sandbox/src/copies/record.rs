//! Finding what a machine changed in its copy, as a layer of the kernel's overlays has it.
//!
//! Folders are merged, so no folder of such a layer is ever opaque.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, fstat, mkdirat, renameat, unlinkat};
use rustix::io::Errno;

use super::attributes::{give, is_same_entry, is_same_folder};
use super::entries::{Kind, in_machine, inside, list, make_removal, open_folder};
use super::links::changed_links;
use super::stack::{Shown, Stack};
use crate::error::{SetupError, Stage, at};

/// Moves what is not as the layers show it from the copy to an empty folder, and says there what was removed.
pub(super) fn record(stack: &Stack<'_>, root: &OwnedFd, layer: &OwnedFd) -> Result<(), SetupError> {
    let recorder = Recorder {
        relinked: changed_links(stack, root)?,
    };
    recorder.folder(stack, Path::new(""), root, layer).map(|_changed| ())
}

struct Recorder {
    relinked: HashSet<PathBuf>,
}

impl Recorder {
    /// Whether the folder at `path` is not as it was. `layer` has its attributes then.
    fn folder(&self, before: &Stack<'_>, path: &Path, copy: &OwnedFd, layer: &OwnedFd) -> Result<bool, SetupError> {
        let failed = || at(Stage::Record, in_machine(path));
        // Before anything is moved out of it.
        let stat = fstat(copy).map_err(failed())?;
        let known = before.entries().map_err(failed())?;
        let entries = list(copy).map_err(failed())?;
        let mut changed = match before.top() {
            Some(top) => !is_same_folder(copy, &stat, top).map_err(failed())?,
            None => true,
        };
        for (name, kind) in &entries {
            let inside = inside(path, name);
            let known = known.get(name).copied();
            changed |= match kind {
                Kind::Folder => self.inner(before, known, name, &inside, [copy, layer])?,
                // A layer can't say that there is such a device: it means something else.
                Kind::Removal => {
                    return Err(SetupError::new(Stage::Record, Errno::STALE, in_machine(&inside)));
                }
                Kind::Other(_) => {
                    let moved = self.entry(known, name, &inside, [copy, layer]);
                    moved.map_err(at(Stage::Record, in_machine(&inside)))?
                }
            };
        }
        for name in known.keys().filter(|name| !entries.contains_key(*name)) {
            make_removal(layer, name).map_err(failed())?;
            changed = true;
        }
        give(copy, &stat, layer).map_err(failed())?;
        Ok(changed)
    }

    fn inner(
        &self,
        parent: &Stack<'_>,
        known: Option<Shown<'_>>,
        name: &CStr,
        path: &Path,
        [copy, layer]: [&OwnedFd; 2],
    ) -> Result<bool, SetupError> {
        let failed = || at(Stage::Record, in_machine(path));
        let before = if known.is_some_and(|known| known.kind == Kind::Folder) {
            parent.inner(name).map_err(failed())?
        } else {
            parent.nothing()
        };
        mkdirat(layer, name, Mode::RWXU).map_err(failed())?;
        let open = |folder| open_folder(folder, name).map_err(failed());
        let changed = self.folder(&before, path, &open(copy)?, &open(layer)?)?;
        if !changed {
            unlinkat(layer, name, AtFlags::REMOVEDIR).map_err(failed())?;
        }
        Ok(changed)
    }

    /// Moves what is new or another, and tells whether it did.
    fn entry(
        &self,
        known: Option<Shown<'_>>,
        name: &CStr,
        path: &Path,
        [copy, layer]: [&OwnedFd; 2],
    ) -> Result<bool, Errno> {
        let is_known = match known {
            Some(known) if known.kind != Kind::Folder => {
                !self.relinked.contains(path) && is_same_entry(copy, known.folder, name)?
            }
            _ => false,
        };
        if !is_known {
            renameat(copy, name, layer, name)?;
        }
        Ok(!is_known)
    }
}
