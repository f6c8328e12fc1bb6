//! That a copy is what was there.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::super::{CaptureRequest, EntryKind, FileHash};
use super::bench::{Bench, files, listing, set_mtime};

#[test]
fn a_copy_is_exact() {
    let bench = Bench::new();
    let root = bench.root();
    bench.write("src/main.rs", "fn main() {}");
    bench.write("run.sh", "#!/bin/sh");
    bench.write("empty file", "");
    fs::create_dir_all(root.join("empty/deep")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("src", root.join("to-dir")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"odd\xff\xfe\nname")), "odd").unwrap();
    fs::set_permissions(root.join("run.sh"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("src/main.rs"), Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(root.join("empty/deep"), Permissions::from_mode(0o1777)).unwrap();
    set_mtime(&root.join("src/main.rs"), 1_600_000_000, 123_456_789);
    set_mtime(&root.join("empty/deep"), 1_500_000_000, 7);
    set_mtime(&root.join("src"), 1_400_000_000, 0);

    let workspace = bench.capture();
    assert_eq!(listing(&files(&workspace)), listing(&root));
    assert_eq!(fs::metadata(&workspace.layer).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(workspace.notes, [""; 0]);
    assert!(!workspace.reused);
    assert_eq!(*bench.store.manifest(&workspace.tree).unwrap(), *workspace.manifest);

    // The copy is the store's own: an edit in place doesn't reach it.
    let original = fs::metadata(root.join("run.sh")).unwrap();
    assert_ne!(
        original.ino(),
        fs::metadata(files(&workspace).join("run.sh")).unwrap().ino()
    );
}

#[test]
fn set_uid_and_set_gid_are_dropped() {
    let bench = Bench::new();
    bench.write("tool", "x");
    fs::set_permissions(bench.root().join("tool"), Permissions::from_mode(0o6755)).unwrap();
    let workspace = bench.capture();
    assert_eq!(workspace.manifest.get(b"tool").unwrap().mode, 0o755);
    assert_eq!(
        fs::metadata(files(&workspace).join("tool")).unwrap().mode() & 0o7777,
        0o755
    );
}

#[test]
fn folders_closed_to_writing_are_captured_and_swept() {
    let bench = Bench::new();
    bench.write("closed/file", "x");
    fs::set_permissions(bench.root().join("closed"), Permissions::from_mode(0o555)).unwrap();
    let workspace = bench.capture();
    assert_eq!(listing(&files(&workspace)), listing(&bench.root()));
}

#[test]
fn an_unusable_root_is_named() {
    let bench = Bench::new();
    let error = bench
        .store
        .capture(&CaptureRequest::new(bench.root().join("none")))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot find {}", bench.root().join("none").display())
    );
    bench.write("file", "x");
    let error = bench
        .store
        .capture(&CaptureRequest::new(bench.root().join("file")))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot open the folder {}", bench.root().join("file").display())
    );
}

#[test]
fn large_and_sparse_files_arrive_whole() {
    let bench = Bench::new();
    let mut content: Vec<u8> = (0..3_000_001_u32)
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
        .collect();
    content[500_000..1_500_000].fill(0);
    fs::write(bench.root().join("large"), &content).unwrap();
    fs::File::create(bench.root().join("hole"))
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    let workspace = bench.capture();
    assert_eq!(fs::read(files(&workspace).join("large")).unwrap(), content);
    let hole = fs::metadata(files(&workspace).join("hole")).unwrap();
    assert_eq!(hole.len(), 8 << 20);
    assert_eq!(hole.blocks(), 0);
    let kind = EntryKind::File {
        size: content.len() as u64,
        hash: FileHash(*blake3::hash(&content).as_bytes()),
    };
    assert_eq!(workspace.manifest.get(b"large").unwrap().kind, kind);
}

#[test]
fn ten_thousand_files_are_captured() {
    let bench = Bench::new();
    for folder in 0..100 {
        let path = bench.root().join(format!("d{folder}"));
        fs::create_dir(&path).unwrap();
        for file in 0..100 {
            fs::write(path.join(format!("f{file}")), format!("{folder} {file}")).unwrap();
        }
    }
    let workspace = bench.capture();
    assert_eq!(workspace.manifest.entries().len(), 10_100);
    assert_eq!(fs::read_to_string(files(&workspace).join("d42/f17")).unwrap(), "42 17");
    assert!(bench.capture().reused);
}
