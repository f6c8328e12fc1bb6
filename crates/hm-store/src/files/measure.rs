//! What files take on disk.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a block of `stat(2)`.
const BLOCK: u64 = 512;

/// Blocks of all files below, each file once. What can't be read (folders of subordinate ids) doesn't count.
pub(crate) fn bytes_on_disk(root: &Path) -> u64 {
    let mut bytes = 0;
    let mut linked = HashSet::new();
    let mut left: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(data) = fs::symlink_metadata(&path) else {
            continue;
        };
        if data.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            left.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        } else if data.nlink() > 1 && !linked.insert((data.dev(), data.ino())) {
            continue;
        }
        bytes += data.blocks() * BLOCK;
    }
    bytes
}
