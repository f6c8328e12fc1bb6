//! What a captured workspace holds, entry by entry.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// BLAKE3 of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileHash(pub [u8; 32]);

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Hash of the content.
        hash: FileHash,
    },
    /// A folder; what it holds are entries of their own.
    Dir,
    /// A symbolic link, never followed.
    Symlink {
        /// The target as it is written in the link.
        target: Box<[u8]>,
    },
}

/// One entry of a [`Manifest`].
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the workspace's root: no leading slash, any bytes but NUL.
    pub path: Box<[u8]>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits (`0o1777` at most: set-uid and set-gid are dropped). 0o777 for symbolic links.
    pub mode: u32,
    /// Time of last modification in nanoseconds since 1970-01-01T00:00:00Z.
    pub mtime_ns: i128,
}

impl Entry {
    /// The path as the standard library wants it.
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// Whether both stand for the same content; times don't count.
    pub fn same_content(&self, other: &Self) -> bool {
        self.path == other.path && self.mode == other.mode && self.kind == other.kind
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("path", &self.path())
            .field("kind", &self.kind)
            .field("mode", &format_args!("{:o}", self.mode))
            .field("mtime_ns", &self.mtime_ns)
            .finish()
    }
}

/// The entries of a workspace, sorted by [`path_order`]: a folder comes right before what it holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// Sorts the entries. Paths have to be unique and each one's parent folder has to be there.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by(|a, b| path_order(&a.path, &b.path));
        Self { entries }
    }

    /// All entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this path.
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| path_order(&entry.path, path))
            .ok()?;
        self.entries.get(at)
    }

    /// Hash over names, types, modes, link targets and contents; not times.
    pub fn tree_hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("hm workspace tree 1");
        for entry in &self.entries {
            hash_entry(&mut hasher, entry);
        }
        hasher.finalize()
    }
}

/// Adds one entry in a form that no other entry has: every member is of fixed length or has its length before it.
pub(super) fn hash_entry(hasher: &mut blake3::Hasher, entry: &Entry) {
    let mut head = [0_u8; 8 + 4 + 1];
    head[..8].copy_from_slice(&(entry.path.len() as u64).to_le_bytes());
    head[8..12].copy_from_slice(&entry.mode.to_le_bytes());
    head[12] = match &entry.kind {
        EntryKind::File { .. } => b'f',
        EntryKind::Dir => b'd',
        EntryKind::Symlink { .. } => b'l',
    };
    hasher.update(&head);
    hasher.update(&entry.path);
    match &entry.kind {
        EntryKind::File { size: _, hash } => {
            hasher.update(&hash.0);
        }
        EntryKind::Dir => {}
        EntryKind::Symlink { target } => {
            hasher.update(&(target.len() as u64).to_le_bytes());
            hasher.update(target);
        }
    }
}

/// Order of paths in which `/` sorts before every other byte, so that whatever is below a folder follows it without a
/// gap.
pub fn path_order(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.iter().zip(b).position(|(x, y)| x != y);
    match common {
        None => a.len().cmp(&b.len()),
        Some(at) => rank(a[at]).cmp(&rank(b[at])),
    }
}

/// A file name holds no NUL, so `/` may take its place.
fn rank(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

/// Whether `path` is below `folder`; every path is below the empty one.
pub(super) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || (path.len() > folder.len() && path.starts_with(folder) && path[folder.len()] == b'/')
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(crate) fn file(path: &str, content: &str) -> Entry {
        Entry {
            path: path.as_bytes().into(),
            kind: EntryKind::File {
                size: content.len() as u64,
                hash: FileHash(*blake3::hash(content.as_bytes()).as_bytes()),
            },
            mode: 0o644,
            mtime_ns: 1,
        }
    }

    pub(crate) fn dir(path: &str) -> Entry {
        Entry {
            path: path.as_bytes().into(),
            kind: EntryKind::Dir,
            mode: 0o755,
            mtime_ns: 1,
        }
    }

    pub(crate) fn link(path: &str, target: &str) -> Entry {
        Entry {
            path: path.as_bytes().into(),
            kind: EntryKind::Symlink {
                target: target.as_bytes().into(),
            },
            mode: 0o777,
            mtime_ns: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{dir, file, link};
    use super::*;

    #[test]
    fn a_folder_comes_right_before_what_it_holds() {
        let manifest = Manifest::new(vec![
            file("a.txt", ""),
            file("a/b", ""),
            dir("a"),
            file("a-b", ""),
            dir("a/c"),
            file("b", ""),
        ]);
        let paths: Vec<_> = manifest
            .entries()
            .iter()
            .map(|e| std::str::from_utf8(&e.path).unwrap())
            .collect();
        assert_eq!(paths, ["a", "a/b", "a/c", "a-b", "a.txt", "b"]);
        assert!(manifest.get(b"a/c").is_some());
        assert!(manifest.get(b"a/d").is_none());
    }

    #[test]
    fn the_tree_hash_sees_all_but_times() {
        let base = vec![dir("d"), file("d/f", "one"), link("l", "d")];
        let hash = Manifest::new(base.clone()).tree_hash();
        let mut touched = base.clone();
        touched[1].mtime_ns = 77;
        assert_eq!(Manifest::new(touched).tree_hash(), hash);

        let mut mode = base.clone();
        mode[1].mode = 0o755;
        let mut content = base.clone();
        content[1] = file("d/f", "two");
        let mut target = base.clone();
        target[2] = link("l", "e");
        let mut kind = base.clone();
        kind[2] = file("l", "d");
        let mut more = base;
        more.push(dir("e"));
        for other in [mode, content, target, kind, more] {
            assert_ne!(Manifest::new(other).tree_hash(), hash);
        }
    }
}
