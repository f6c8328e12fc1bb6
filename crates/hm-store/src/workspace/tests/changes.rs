//! Trees that change while they are captured.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::capture::Capture;
use super::super::{CaptureError, EntryKind, FileHash};
use super::bench::{Bench, files, listing};

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let bench = Bench::new();
    bench.write("busy", "first");
    bench.write("calm", "calm");
    let path = bench.root().join("busy");
    let reads = AtomicUsize::new(0);
    let edit = |name: &[u8]| {
        if name == b"busy" && reads.fetch_add(1, Ordering::Relaxed) < 2 {
            fs::write(&path, format!("longer {}", reads.load(Ordering::Relaxed))).unwrap();
        }
    };
    let workspace = Capture::begin(&bench.store, &bench.request(), &edit, &|| false)
        .unwrap()
        .run()
        .unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 3);
    assert_eq!(fs::read_to_string(files(&workspace).join("busy")).unwrap(), "longer 2");
    let hash = blake3::hash(b"longer 2");
    let kind = EntryKind::File {
        size: 8,
        hash: FileHash(*hash.as_bytes()),
    };
    assert_eq!(workspace.manifest.get(b"busy").unwrap().kind, kind);
}

#[test]
fn a_file_that_never_stands_still_is_named() {
    let bench = Bench::new();
    bench.write("d/busy", "");
    let path = bench.root().join("d/busy");
    let edit = |_: &[u8]| {
        let more = fs::read_to_string(&path).unwrap() + "x";
        fs::write(&path, more).unwrap();
    };
    let error = Capture::begin(&bench.store, &bench.request(), &edit, &|| false)
        .unwrap()
        .run()
        .unwrap_err();
    assert!(
        matches!(&error, CaptureError::KeepsChanging { path: named, attempts: 8 } if *named == path),
        "{error}"
    );
    let left = fs::read_dir(bench.store.temporary().parent().unwrap()).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn files_that_go_away_meanwhile_are_left_out() {
    let bench = Bench::new();
    bench.write("stays", "x");
    bench.write("goes", "x");
    bench.write("turns", "x");
    let capture = Capture::begin(&bench.store, &bench.request(), &|_| {}, &|| false).unwrap();
    fs::remove_file(bench.root().join("goes")).unwrap();
    fs::remove_file(bench.root().join("turns")).unwrap();
    symlink("stays", bench.root().join("turns")).unwrap();
    let workspace = capture.run().unwrap();
    assert_eq!(listing(&files(&workspace)).len(), 2);
    let target = b"stays".as_slice().into();
    assert_eq!(
        workspace.manifest.get(b"turns").unwrap().kind,
        EntryKind::Symlink { target }
    );
}

#[test]
fn an_edit_between_the_two_passes_is_in_the_copy() {
    let bench = Bench::new();
    bench.write("f", "one");
    bench.write("g", "one");
    bench.capture();
    bench.write("g", "two");
    // Read once to be hashed and once to be copied: the edit comes in between.
    let reads = AtomicUsize::new(0);
    let path = bench.root().join("g");
    let edit = |name: &[u8]| {
        if name == b"g" && reads.fetch_add(1, Ordering::Relaxed) == 1 {
            fs::write(&path, "three").unwrap();
        }
    };
    let workspace = Capture::begin(&bench.store, &bench.request(), &edit, &|| false)
        .unwrap()
        .run()
        .unwrap();
    assert_eq!(fs::read_to_string(files(&workspace).join("g")).unwrap(), "three");
    let kind = EntryKind::File {
        size: 5,
        hash: FileHash(*blake3::hash(b"three").as_bytes()),
    };
    assert_eq!(workspace.manifest.get(b"g").unwrap().kind, kind);
}

#[test]
fn a_capture_that_is_stopped_leaves_nothing() {
    let bench = Bench::new();
    for n in 0..100 {
        bench.write(&format!("d{n}/f"), "x");
    }
    // Folders and files are asked for: the first stop is while walking, the second while copying.
    for patience in [50, 150] {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= patience;
        let error = bench.store.capture_until(&bench.request(), &stop).unwrap_err();
        assert!(matches!(error, CaptureError::Stopped), "{error}");
        assert!(asked.load(Ordering::Relaxed) < patience + 20, "all threads end at once");
    }
    let left = fs::read_dir(bench.store.temporary().parent().unwrap()).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_large_file_does_not_hold_up_the_end() {
    let bench = Bench::new();
    bench.write("large", "");
    fs::File::options()
        .write(true)
        .open(bench.root().join("large"))
        .and_then(|file| file.set_len(1 << 40))
        .unwrap();
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 10;
    let error = bench.store.capture_until(&bench.request(), &stop).unwrap_err();
    assert!(matches!(error, CaptureError::Stopped), "{error}");
}
