//! Entries, and what becomes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hm_plugin_protocol::{RunId, SnapshotRef};
use serde_json::json;
use uuid::Uuid;

use crate::{
    CacheEntry, CacheKey, DigestAlgorithm, ImageDigest, NewCacheEntry, NewSnapshot, SnapshotBase, SnapshotKind, Store,
    StoreSettings, SystemClock, TreeId,
};

fn open_in(root: &Path, boot: &str) -> Store {
    let settings = StoreSettings {
        root: root.to_path_buf(),
        clock: Arc::new(SystemClock),
    };
    Store::open_in_boot(settings, boot).unwrap()
}

fn key(text: &str) -> CacheKey {
    blake3::hash(text.as_bytes()).into()
}

fn snapshot(store: &Store, base: Option<&SnapshotRef>) -> SnapshotRef {
    let scratch = store.scratch().unwrap();
    fs::write(scratch.upper().join("file"), "content").unwrap();
    let tree = TreeId::new([2; 32]);
    fs::create_dir_all(store.layout().workspace_layer(&tree)).unwrap();
    let base = match base {
        Some(base) => SnapshotBase::Snapshot(base.clone()),
        None => SnapshotBase::Image {
            digest: ImageDigest::new(DigestAlgorithm::Blake3, [1; 32]),
            image_layers: vec![PathBuf::from("/"), store.layout().layers()],
            tree: Some(tree),
        },
    };
    store
        .snapshots()
        .commit(
            scratch,
            NewSnapshot {
                base,
                kind: SnapshotKind::Step,
            },
        )
        .unwrap()
}

fn commit(store: &Store, name: &str, snapshot: Option<&SnapshotRef>) {
    let log = store.temporary();
    fs::write(&log, name).unwrap();
    let entry = NewCacheEntry {
        key: key(name),
        snapshot: snapshot.cloned(),
        state: None,
        log: Some(&log),
        duration: Duration::from_millis(1500),
        run_id: RunId(Uuid::from_u128(1)),
        step_key: name.to_owned(),
        parts: json!({ "cmd": name }),
    };
    store.cache().commit(&entry).unwrap();
}

fn lookup(store: &Store, name: &str) -> Option<CacheEntry> {
    store.cache().lookup(&key(name)).unwrap()
}

fn count(folder: PathBuf) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn an_entry_outlives_its_lease_with_all_that_it_stands_on() {
    let base = tempfile::tempdir().unwrap();
    let store = open_in(base.path(), "boot");
    assert_eq!(lookup(&store, "x"), None);
    let parent = snapshot(&store, None);
    let child = snapshot(&store, Some(&parent));
    let stray = snapshot(&store, Some(&parent));
    let hash = store.snapshots().content_hash(&child).unwrap();
    let stack = store.snapshots().stack(&child).unwrap();
    commit(&store, "x", Some(&child));
    for each in [&parent, &child] {
        store.snapshots().release(each).unwrap();
    }
    let entry = lookup(&store, "x").unwrap();
    store.close().unwrap();

    let store = open_in(base.path(), "boot");
    assert_eq!(lookup(&store, "x").as_ref(), Some(&entry));
    assert_eq!(
        (entry.duration, entry.step_key.as_str()),
        (Duration::from_millis(1500), "x")
    );
    assert_eq!(fs::read_to_string(entry.log.unwrap()).unwrap(), "x");
    assert_eq!(store.cache().parts(&key("x")).unwrap(), Some(json!({ "cmd": "x" })));
    assert_eq!(store.snapshots().stack(&child).unwrap(), stack);
    assert_eq!(store.snapshots().content_hash(&child).unwrap(), hash);
    assert!(!store.snapshots().exists(&stray).unwrap());
    assert_eq!(count(store.layout().layers()), 2);
    // A persistent snapshot isn't deleted by a release, and a child of it goes alone.
    let grandchild = snapshot(&store, Some(&child));
    store.snapshots().release(&grandchild).unwrap();
    store.snapshots().release(&child).unwrap();
    store.settle().unwrap();
    assert_eq!(count(store.layout().layers()), 2);
}

#[test]
fn an_entry_whose_files_are_gone_is_none() {
    let base = tempfile::tempdir().unwrap();
    let store = open_in(base.path(), "boot");
    let made = snapshot(&store, None);
    commit(&store, "x", Some(&made));
    crate::remove_tree(&store.layout().layers().join(&made.0)).unwrap();
    assert_eq!(lookup(&store, "x"), None);
    let parent = snapshot(&store, None);
    let child = snapshot(&store, Some(&parent));
    commit(&store, "z", Some(&child));
    assert!(store.snapshots().exists(&child).unwrap());
    crate::remove_tree(&store.layout().layers().join(&parent.0)).unwrap();
    assert!(!store.snapshots().exists(&child).unwrap());
    let other = snapshot(&store, None);
    assert!(store.snapshots().exists(&other).unwrap());
    crate::remove_tree(&store.layout().workspace_layer(&TreeId::new([2; 32]))).unwrap();
    assert!(!store.snapshots().exists(&other).unwrap());
    commit(&store, "y", None);
    fs::remove_file(lookup(&store, "y").unwrap().log.unwrap()).unwrap();
    assert_eq!(lookup(&store, "y"), None);
}

#[test]
fn what_is_replaced_goes_when_no_one_else_reads_it() {
    let base = tempfile::tempdir().unwrap();
    let store = open_in(base.path(), "boot");
    let parent = snapshot(&store, None);
    let old = snapshot(&store, Some(&parent));
    commit(&store, "x", Some(&old));
    commit(&store, "parent", Some(&parent));
    let new = snapshot(&store, Some(&parent));
    commit(&store, "x", Some(&new));
    let other = open_in(base.path(), "boot");
    assert_eq!(other.swept().removed, 0);
    assert!(other.snapshots().exists(&old).unwrap());
    other.close().unwrap();
    store.close().unwrap();
    let store = open_in(base.path(), "boot");
    assert_eq!(store.swept().removed, 2);
    assert!(!store.snapshots().exists(&old).unwrap());
    assert_eq!(lookup(&store, "x").unwrap().snapshot, Some(new));
    assert_eq!(lookup(&store, "parent").unwrap().snapshot, Some(parent));
    assert_eq!((count(store.layout().layers()), count(store.layout().logs())), (2, 2));
}

#[test]
fn another_boot_trusts_only_what_was_made_durable() {
    let base = tempfile::tempdir().unwrap();
    let store = open_in(base.path(), "one");
    let kept = snapshot(&store, None);
    commit(&store, "kept", Some(&kept));
    store.make_durable().unwrap();
    let lost = snapshot(&store, Some(&kept));
    commit(&store, "lost", Some(&lost));
    commit(&store, "log only", None);
    store.close().unwrap();

    let store = open_in(base.path(), "two");
    assert_eq!(lookup(&store, "lost"), None);
    assert_eq!(lookup(&store, "log only"), None);
    assert!(!store.snapshots().exists(&lost).unwrap());
    assert_eq!(lookup(&store, "kept").unwrap().snapshot, Some(kept.clone()));
    assert!(store.snapshots().exists(&kept).unwrap());
    assert_eq!((count(store.layout().layers()), count(store.layout().logs())), (1, 1));
    commit(&store, "lost", None);
    assert!(lookup(&store, "lost").is_some());
}

/// A clock that stands still.
#[derive(Debug)]
struct At(jiff::Timestamp);

impl crate::Clock for At {
    fn now(&self) -> jiff::Timestamp {
        self.0
    }
}

#[test]
fn an_entry_is_made_durable_after_a_minute_and_once() {
    let base = tempfile::tempdir().unwrap();
    let open_at = |second| {
        let clock = Arc::new(At(jiff::Timestamp::from_second(second).unwrap()));
        let root = base.path().to_path_buf();
        Store::open_in_boot(StoreSettings { root, clock }, "boot").unwrap()
    };
    let store = open_at(1000);
    assert!(!store.make_durable_when_due().unwrap(), "nothing waits");
    commit(&store, "entry", None);
    assert!(!store.make_durable_when_due().unwrap(), "too young");
    assert!(!open_at(1060).make_durable_when_due().unwrap());
    assert!(open_at(1061).make_durable_when_due().unwrap());
    assert!(!open_at(2000).make_durable_when_due().unwrap(), "done once");
    store.close().unwrap();
    assert!(lookup(&open_in(base.path(), "another boot"), "entry").is_some());
}

#[tokio::test]
async fn a_key_is_locked_once() {
    let base = tempfile::tempdir().unwrap();
    let store = open_in(base.path(), "boot");
    let other = open_in(base.path(), "boot");
    let held = store.cache().lock(&key("x")).await.unwrap();
    assert!(store.cache().try_lock(&key("x")).unwrap().is_none());
    assert!(other.cache().try_lock(&key("x")).unwrap().is_none());
    assert!(store.cache().try_lock(&key("y")).unwrap().is_some());
    let x = key("x");
    let turn = async |store: &Store| drop(store.cache().lock(&x).await.unwrap());
    tokio::join!(turn(&store), turn(&other), turn(&store), async { drop(held) });
    assert_eq!(count(store.layout().key_locks()), 0);
}
