//! Kept blobs in the boots that follow.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::super::digest::sha256;
use super::super::known::{Came, NotedImage, PackedLayer};
use super::super::registry::{PullRecord, index_name};
use super::super::{ImageConfig, ImageRef, ImageSettings, Images, ResolvedImage, Unobserved};
use super::make::{Tar, amd64, gzip};
use crate::ids::LayerId;
use crate::{Store, StoreSettings, SystemClock};

const REFERENCE: &str = "registry.example/o/i:t";

fn open(root: &Path, boot: &str) -> Store {
    let settings = StoreSettings {
        root: root.to_owned(),
        clock: Arc::new(SystemClock),
    };
    Store::open_in_boot(settings, boot).unwrap()
}

/// Has an image of one layer in the store, as a pull leaves it.
fn keep(store: &Store) -> NotedImage {
    let plain = Tar::default().file("f", "content").end();
    let (diff, blob) = (sha256(&plain), gzip(&plain));
    let packed = PackedLayer {
        blob: sha256(&blob),
        size: blob.len() as u64,
        diff,
    };
    fs::write(store.layout().kept_blob(&packed.blob), blob).unwrap();
    let image = NotedImage {
        digest: sha256(b"manifest"),
        layers: vec![LayerId::of_image(&diff)],
        config: ImageConfig::default(),
        packed: vec![packed],
        unpacked: false,
    };
    let record = PullRecord {
        top: image.digest,
        pulled: store.now(),
        bytes: packed.size,
    };
    let ImageRef::Registry(reference) = ImageRef::parse(REFERENCE).unwrap() else {
        panic!()
    };
    let name = index_name(&reference, &amd64());
    let record = serde_json::to_string(&record).unwrap();
    assert!(store.note_image(&[&name], &record, &image, Came::Packed).unwrap());
    image
}

fn resolve(store: &Store) -> ResolvedImage {
    let settings = ImageSettings {
        platform: amd64(),
        offline: true,
        ..ImageSettings::default()
    };
    let images = Images::new(store.clone(), settings);
    let reference = ImageRef::parse(REFERENCE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime
        .block_on(images.resolve(&reference, Arc::new(Unobserved)))
        .unwrap()
}

#[test]
fn a_packed_image_outlives_the_boot() {
    let base = tempfile::tempdir().unwrap();
    keep(&open(base.path(), "one"));
    let store = open(base.path(), "two");
    assert_eq!(fs::read(resolve(&store).layers[0].join("f")).unwrap(), b"content");
}

#[test]
fn folders_that_may_not_be_on_the_disk_are_unpacked_again() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path(), "one");
    keep(&store);
    let unpacked = resolve(&store);
    // What a loss of power leaves of a file that was never synced.
    fs::write(unpacked.layers[0].join("f"), "").unwrap();
    drop(store);
    let store = open(base.path(), "two");
    assert!(!unpacked.layers[0].exists());
    assert_eq!(resolve(&store), unpacked);
    assert_eq!(fs::read(unpacked.layers[0].join("f")).unwrap(), b"content");
    store.make_durable().unwrap();
    drop(store);
    let store = open(base.path(), "three");
    assert!(unpacked.layers[0].exists());
    assert_eq!(resolve(&store), unpacked);
}

#[test]
fn folders_of_an_unpacking_that_was_killed_are_not_trusted_in_another_boot() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path(), "one");
    let image = keep(&store);
    let folder = store.layout().layer(&image.layers[0]);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("f"), "").unwrap();
    drop(store);
    let store = open(base.path(), "two");
    assert!(!folder.exists());
    assert_eq!(fs::read(resolve(&store).layers[0].join("f")).unwrap(), b"content");
}

#[test]
fn an_image_is_not_noted_without_its_blobs() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path(), "one");
    let image = keep(&store);
    fs::remove_file(store.layout().kept_blob(&image.packed[0].blob)).unwrap();
    assert!(!store.note_image(&["other"], "{}", &image, Came::Packed).unwrap());
    assert_eq!(store.noted_image("other").unwrap(), None);
}
