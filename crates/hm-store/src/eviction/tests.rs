//! What goes, and what stays.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hm_plugin_protocol::{RunId, SnapshotRef};
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::Evicted;
use super::choose::{Chosen, Entry, Layer, choose};
use crate::clock::Clock;
use crate::{
    CacheKey, DigestAlgorithm, ImageDigest, NewCacheEntry, NewSnapshot, SnapshotBase, SnapshotKind, Store,
    StoreSettings,
};

const LAYER: u64 = 100 << 10;

/// Each look is a second later.
#[derive(Default, Debug)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }
}

struct Lab {
    base: tempfile::TempDir,
    clock: Arc<Ticks>,
}

impl Lab {
    fn new() -> Self {
        Self {
            base: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
        }
    }

    fn open(&self) -> Store {
        let settings = StoreSettings {
            root: self.base.path().to_owned(),
            clock: Arc::<Ticks>::clone(&self.clock),
        };
        Store::open_in_boot(settings, "boot").unwrap()
    }
}

fn key(name: &str) -> CacheKey {
    blake3::hash(name.as_bytes()).into()
}

/// Makes an entry with a layer of about [`LAYER`] bytes.
fn entry(store: &Store, name: &str, parent: Option<&SnapshotRef>) -> SnapshotRef {
    let scratch = store.scratch().unwrap();
    fs::write(scratch.upper().join(name), vec![7; 100 << 10]).unwrap();
    let base = match parent {
        Some(parent) => SnapshotBase::Snapshot(parent.clone()),
        None => SnapshotBase::Image {
            digest: ImageDigest::new(DigestAlgorithm::Blake3, [1; 32]),
            image_layers: vec![PathBuf::from("/")],
            tree: None,
        },
    };
    let kind = SnapshotKind::Step;
    let snapshot = store.snapshots().commit(scratch, NewSnapshot { base, kind }).unwrap();
    let log = store.temporary();
    fs::write(&log, name).unwrap();
    let new = NewCacheEntry {
        key: key(name),
        snapshot: Some(snapshot.clone()),
        state: None,
        log: Some(&log),
        duration: Duration::ZERO,
        run_id: RunId(Uuid::nil()),
        step_key: name.to_owned(),
        parts: serde_json::Value::Null,
    };
    store.cache().commit(&new).unwrap();
    snapshot
}

fn hits(store: &Store, names: &[&str]) -> Vec<String> {
    let is_hit = |name: &&&str| store.cache().lookup(&key(name)).unwrap().is_some();
    names.iter().filter(is_hit).map(|name| (*name).to_owned()).collect()
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn what_was_not_used_for_longest_goes_and_its_files_with_the_next_start() {
    let lab = Lab::new();
    let store = lab.open();
    let names = ["a", "b", "c", "d"];
    for name in names {
        entry(&store, name, None);
    }
    assert_eq!(store.keep_within(5 * LAYER).unwrap(), Evicted::default());
    // The oldest is used once more.
    assert_eq!(hits(&store, &["a"]), ["a"]);
    let evicted = store.keep_within(3 * LAYER + LAYER / 2).unwrap();
    assert_eq!(evicted.entries, 1);
    assert!((LAYER..LAYER * 3 / 2).contains(&evicted.bytes), "{evicted:?}");
    assert_eq!(hits(&store, &names), ["a", "c", "d"]);
    assert_eq!(count(&store.layout().layers()), 4);
    store.close().unwrap();

    let store = lab.open();
    assert_eq!(hits(&store, &names), ["a", "c", "d"]);
    assert_eq!((count(&store.layout().layers()), count(&store.layout().logs())), (3, 3));
    assert_eq!(store.keep_within(4 * LAYER).unwrap(), Evicted::default());
}

#[test]
fn a_chain_goes_from_its_top() {
    let lab = Lab::new();
    let store = lab.open();
    let base = entry(&store, "base", None);
    entry(&store, "one", Some(&base));
    entry(&store, "two", Some(&base));
    let all = ["base", "one", "two"];
    assert_eq!(store.keep_within(2 * LAYER + LAYER / 2).unwrap().entries, 1);
    assert_eq!(hits(&store, &all), ["base", "two"]);
    assert_eq!(store.keep_within(0).unwrap().entries, 2);
    assert_eq!(hits(&store, &all), [""; 0]);
    store.close().unwrap();
    assert_eq!(count(&lab.open().layout().layers()), 0);
}

#[test]
fn nothing_goes_that_another_process_stands_on() {
    let lab = Lab::new();
    let store = lab.open();
    let snapshot = entry(&store, "a", None);
    store.close().unwrap();

    let (building, evicting) = (lab.open(), lab.open());
    let hit = building.cache().lookup(&key("a")).unwrap().unwrap();
    assert_eq!(evicting.keep_within(0).unwrap().entries, 1);
    assert_eq!(hits(&building, &["a"]), [""; 0]);
    evicting.close().unwrap();
    // A third one begins while the first is at work.
    lab.open().close().unwrap();
    assert_eq!(fs::read_to_string(hit.log.unwrap()).unwrap(), "a");
    assert_eq!(building.snapshots().stack(&snapshot).unwrap().lower.len(), 2);
    // What it makes on top of it stays, and so does what that stands on.
    entry(&building, "b", Some(&snapshot));
    building.close().unwrap();
    let next = lab.open();
    assert_eq!(hits(&next, &["a", "b"]), ["b"]);
    assert_eq!(count(&next.layout().layers()), 2);
    assert!(next.snapshots().exists(&snapshot).unwrap());
}

/// What the layers take that the entries need.
fn needed(layers: &HashMap<String, Layer>, entries: &[Entry]) -> u64 {
    let mut seen = HashSet::new();
    for entry in entries {
        let mut next = Some(&entry.layer);
        while let Some(name) = next {
            seen.insert(name.clone());
            next = layers[name].parent.as_ref();
        }
    }
    seen.iter().map(|name| layers[name].bytes).sum()
}

proptest! {
    #[test]
    fn as_little_goes_as_is_needed(
        layers in prop::collection::vec((0_usize..20, 0_u64..50), 1..20),
        entries in prop::collection::vec((0_i64..10, 0_usize..20), 0..25),
        max in 0_u64..600,
    ) {
        // A layer stands on one before it, or on none.
        let named = layers.iter().enumerate().map(|(number, (parent, bytes))| {
            let parent = (*parent < number).then(|| parent.to_string());
            (number.to_string(), Layer { parent, bytes: *bytes })
        });
        let named: HashMap<String, Layer> = named.collect();
        let entries: Vec<Entry> = entries.iter().enumerate().map(|(number, (last_used, layer))| Entry {
            last_used: *last_used,
            key: number.to_string(),
            layer: (layer % layers.len()).to_string(),
        }).collect();
        let before = needed(&named, &entries);
        let Chosen { keys, bytes } = choose(&named, entries.clone(), max);
        let kept = |keys: &[String]| -> Vec<Entry> {
            entries.iter().filter(|entry| !keys.contains(&entry.key)).cloned().collect()
        };
        let left = needed(&named, &kept(&keys));
        prop_assert_eq!(before - left, bytes);
        if before <= max {
            prop_assert!(keys.is_empty());
        } else {
            let goal = max - max / 10;
            prop_assert!(left <= goal);
            // Without the last one it would not have been enough.
            prop_assert!(needed(&named, &kept(&keys[..keys.len() - 1])) > goal);
        }
    }
}
