//! Hashes over files in memory.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use blake3::{Hash, Hasher};
use hm_store::{ContentHash, ImageDigest};

use super::fs::Fs;
use super::node::{Kind, Node};
use crate::machine::ImageConfig;

/// Of an image: all its files and its configuration.
pub(super) fn image_hash(fs: &Fs, config: &ImageConfig) -> Hash {
    let mut hasher = Hasher::new_derive_key("hm memory image 1");
    changes(&mut hasher, &mut Vec::new(), None, Some(fs.root()));
    let ImageConfig { env, user, working_dir } = config;
    for (name, value) in env {
        text(&mut hasher, name.as_bytes());
        text(&mut hasher, value.as_bytes());
    }
    for value in [user, working_dir] {
        text(&mut hasher, value.as_deref().unwrap_or_default().as_bytes());
    }
    hasher.finalize()
}

/// Of a machine that has run nothing.
pub(super) fn start(image: &ImageDigest) -> ContentHash {
    let mut hasher = Hasher::new_derive_key("hm memory content 1");
    hasher.update(image.to_string().as_bytes());
    hasher.finalize().into()
}

/// Of a machine that was `before` with the hash `parent` and is `after` now.
pub(super) fn after(parent: &ContentHash, before: &Fs, after: &Fs) -> ContentHash {
    let mut hasher = Hasher::new_derive_key("hm memory content 1");
    hasher.update(parent.as_bytes());
    changes(&mut hasher, &mut Vec::new(), Some(before.root()), Some(after.root()));
    hasher.finalize().into()
}

/// Adds what differs below `path`; what both share is not looked at.
fn changes(hasher: &mut Hasher, path: &mut Vec<u8>, before: Option<&Arc<Node>>, after: Option<&Arc<Node>>) {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) if Arc::ptr_eq(before, after) => return,
        (before, Some(after)) => (before, after),
        (_, None) => {
            hasher.update(b"-");
            text(hasher, path);
            return;
        }
    };
    if !before.is_some_and(|before| before.same_entry(after)) {
        entry(hasher, path, after);
    }
    let Kind::Dir(children) = &after.kind else { return };
    let mut names: BTreeSet<&OsStr> = children.keys().map(AsRef::as_ref).collect();
    if let Some(Kind::Dir(old)) = before.map(|before| &before.kind) {
        names.extend(old.keys().map(AsRef::<OsStr>::as_ref));
    }
    let length = path.len();
    for name in names {
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        changes(
            hasher,
            path,
            before.and_then(|before| before.child(name)),
            after.child(name),
        );
        path.truncate(length);
    }
}

fn entry(hasher: &mut Hasher, path: &[u8], node: &Node) {
    let (kind, content): (&[u8], &[u8]) = match &node.kind {
        Kind::File(content) => (b"f", content),
        Kind::Dir(_) => (b"d", b""),
        Kind::Symlink(target) => (b"l", target.as_bytes()),
    };
    hasher.update(kind);
    text(hasher, path);
    for number in [node.mode, node.uid, node.gid] {
        hasher.update(&number.to_le_bytes());
    }
    text(hasher, content);
}

fn text(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
