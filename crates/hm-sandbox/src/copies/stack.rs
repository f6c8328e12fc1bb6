//! A folder as the layers of a machine show it together.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::entries::{Kind, is_opaque, list, open_folder};
use crate::error::{SetupError, Stage, at};

/// One folder in each layer that has it and is not covered, top first.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    folders: Vec<OwnedFd>,
    /// The attribute of opaque folders.
    mark: &'a str,
}

/// What shows under a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) kind: Kind,
    /// The folder that it is in.
    pub(super) folder: &'a OwnedFd,
}

impl<'a> Stack<'a> {
    /// Of whole layers, top first.
    pub(super) fn open(layers: &[PathBuf], mark: &'a str) -> Result<Self, SetupError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |layer: &PathBuf| rustix::fs::open(layer, flags, Mode::empty()).map_err(at(Stage::Layer, layer));
        let folders = layers.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { folders, mark })
    }

    /// A folder that no layer has.
    pub(super) fn nothing(&self) -> Self {
        Self {
            folders: Vec::new(),
            mark: self.mark,
        }
    }

    /// The folder that says whose it is and who may use it.
    pub(super) fn top(&self) -> Option<&OwnedFd> {
        self.folders.first()
    }

    pub(super) fn entries(&self) -> Result<BTreeMap<CString, Shown<'_>>, Errno> {
        let mut shown = BTreeMap::new();
        for folder in &self.folders {
            for (name, kind) in list(folder)? {
                shown.entry(name).or_insert(Shown { kind, folder });
            }
        }
        shown.retain(|_, entry| entry.kind != Kind::Removal);
        Ok(shown)
    }

    /// A folder in this one.
    pub(super) fn inner(&self, name: &CStr) -> Result<Self, Errno> {
        let mut inner = self.nothing();
        for folder in &self.folders {
            match open_folder(folder, name) {
                Ok(found) => {
                    let is_last = is_opaque(&found, self.mark)?;
                    inner.folders.push(found);
                    if is_last {
                        break;
                    }
                }
                Err(Errno::NOENT) => {}
                // A file, a link or a removal covers what is beneath it.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(inner)
    }
}
