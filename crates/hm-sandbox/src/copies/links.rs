//! Files with several names, in the layers and in a copy of them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::entries::{Kind, in_machine, inside, list, open_folder, stat};
use super::stack::Stack;
use crate::error::{SetupError, Stage, at};

/// The names of files by device and inode.
type Names = HashMap<(u64, u64), BTreeSet<PathBuf>>;

/// The paths whose file has other names in the copy than in the layers. All names of a file are among them, or none.
pub(super) fn changed_links(stack: &Stack<'_>, root: &OwnedFd) -> Result<HashSet<PathBuf>, SetupError> {
    let (mut before, mut after) = (Names::new(), Names::new());
    of_stack(stack, Path::new(""), &mut before)?;
    of_copy(root, Path::new(""), &mut after)?;
    // What has one name here may have others elsewhere: layers share files with each other.
    let several = |names: Names| names.into_values().filter(|names| names.len() > 1).collect();
    let [before, after]: [HashSet<_>; 2] = [before, after].map(several);
    Ok(before.symmetric_difference(&after).flatten().cloned().collect())
}

fn of_stack(stack: &Stack<'_>, path: &Path, names: &mut Names) -> Result<(), SetupError> {
    let failed = || at(Stage::Record, in_machine(path));
    for (name, shown) in stack.entries().map_err(failed())? {
        let inside = inside(path, &name);
        if shown.kind == Kind::Folder {
            of_stack(&stack.inner(&name).map_err(failed())?, &inside, names)?;
        } else {
            add(&stat(shown.folder, &name).map_err(failed())?, inside, names);
        }
    }
    Ok(())
}

fn of_copy(folder: &OwnedFd, path: &Path, names: &mut Names) -> Result<(), SetupError> {
    let failed = || at(Stage::Record, in_machine(path));
    for (name, kind) in list(folder).map_err(failed())? {
        let inside = inside(path, &name);
        if kind == Kind::Folder {
            of_copy(&open_folder(folder, &name).map_err(failed())?, &inside, names)?;
        } else {
            add(&stat(folder, &name).map_err(failed())?, inside, names);
        }
    }
    Ok(())
}

fn add(stat: &rustix::fs::Stat, path: PathBuf, names: &mut Names) {
    if stat.st_nlink > 1 {
        names.entry((stat.st_dev, stat.st_ino)).or_default().insert(path);
    }
}
