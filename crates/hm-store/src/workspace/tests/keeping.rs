//! Which trees are made, shared and kept.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::super::{CaptureRequest, EntryKind, WORKSPACE_FOLDER, Workspace};
use super::bench::{Bench, files, listing, set_mtime};

#[test]
fn the_same_tree_is_copied_once() {
    let bench = Bench::new();
    bench.write("a/b", "one");
    let first = bench.capture();
    let inode = fs::metadata(&first.layer).unwrap().ino();
    let again = bench.capture();
    assert!(again.reused);
    assert_eq!((again.tree, again.archive), (first.tree, first.archive));
    assert_eq!(fs::metadata(&again.layer).unwrap().ino(), inode);

    // Another folder and another process find it as well.
    let clone = bench.base.path().join("clone");
    fs::create_dir_all(clone.join("a")).unwrap();
    fs::write(clone.join("a/b"), "one").unwrap();
    let other = bench.another_store().capture(&CaptureRequest::new(&clone)).unwrap();
    assert_eq!(other.tree, first.tree);
    assert_eq!(fs::metadata(&other.layer).unwrap().ino(), inode);
}

/// Edits of every kind, between two captures.
fn edit(bench: &Bench) {
    let root = bench.root();
    bench.write("edited", "after!");
    bench.write("new", "new");
    bench.write("closed/new", "new");
    fs::set_permissions(root.join("mode"), Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir_all(root.join("gone")).unwrap();
    for (folder, file) in [("folder", "file"), ("file", "folder")] {
        fs::rename(root.join(folder), root.join("other")).unwrap();
        fs::rename(root.join(file), root.join(folder)).unwrap();
        fs::rename(root.join("other"), root.join(file)).unwrap();
    }
    fs::remove_file(root.join("link")).unwrap();
    symlink("elsewhere", root.join("link")).unwrap();
    fs::set_permissions(root.join("closed"), Permissions::from_mode(0o555)).unwrap();
}

/// A tree with all that [`edit`] edits, captured by a process that has ended.
fn edited(bench: &Bench) -> Workspace {
    for name in [
        "same",
        "mode",
        "edited",
        "gone/deep/file",
        "closed/same",
        "folder/f",
        "file",
    ] {
        bench.write(name, "before");
    }
    symlink("nowhere", bench.root().join("link")).unwrap();
    symlink("nowhere", bench.root().join("same-link")).unwrap();
    fs::set_permissions(bench.root().join("closed"), Permissions::from_mode(0o555)).unwrap();
    let store = bench.another_store();
    let first = store.capture(&bench.request()).unwrap();
    store.close().unwrap();
    fs::set_permissions(bench.root().join("closed"), Permissions::from_mode(0o755)).unwrap();
    edit(bench);
    first
}

fn inode(workspace: &Workspace, name: &str) -> u64 {
    fs::symlink_metadata(files(workspace).join(name)).unwrap().ino()
}

/// Nothing in the tree has a second name anywhere.
fn assert_single_links(workspace: &Workspace) {
    let folder = files(workspace);
    let entries = workspace.manifest.entries().iter();
    for entry in entries.filter(|entry| entry.kind != EntryKind::Dir) {
        let found = fs::symlink_metadata(folder.join(entry.path())).unwrap();
        assert_eq!(found.nlink(), 1, "{entry:?}");
    }
}

#[test]
fn a_later_tree_is_made_of_the_files_of_one_that_nobody_needs() {
    let bench = Bench::new();
    let first = edited(&bench);
    let kept = ["same", "closed/same", "same-link"].map(|name| inode(&first, name));
    let second = bench.capture();
    assert_ne!(second.tree, first.tree);
    assert_eq!(listing(&files(&second)), listing(&bench.root()));
    assert_eq!(
        ["same", "closed/same", "same-link"].map(|name| inode(&second, name)),
        kept
    );
    assert_single_links(&second);
    assert!(!first.layer.exists());
}

#[test]
fn a_tree_that_a_living_process_uses_is_not_touched() {
    let bench = Bench::new();
    bench.write("same", "same");
    bench.write("edited", "before");
    let first = bench.capture();
    let before = listing(&files(&first));
    bench.write("edited", "after!");
    let second = bench.another_store().capture(&bench.request()).unwrap();
    assert_eq!(listing(&files(&first)), before);
    assert_eq!(listing(&files(&second)), listing(&bench.root()));
    assert_ne!(inode(&first, "same"), inode(&second, "same"));
    assert_single_links(&first);
    assert_single_links(&second);
}

#[test]
fn a_tree_below_a_snapshot_is_not_touched_and_one_that_snapshots_differ_to_leaves_its_manifest() {
    for (column, touched) in [("base_tree", false), ("tree", true)] {
        let bench = Bench::new();
        let first = edited(&bench);
        let before = listing(&files(&first));
        bench
            .store
            .index()
            .write(|change| {
                let insert = format!(
                    "INSERT INTO snapshots (id, kind, image, boot, {column}) VALUES ('a', 'step', 'i', 'b', ?1)"
                );
                change.execute(&insert, [first.tree.to_hex()])
            })
            .unwrap();
        let second = bench.capture();
        assert_single_links(&second);
        assert_eq!(first.layer.exists(), !touched);
        assert_eq!(bench.store.manifest(&first.tree).unwrap(), first.manifest);
        if !touched {
            assert_eq!(listing(&files(&first)), before);
        }
    }
}

#[test]
fn a_tree_whose_files_were_taken_is_made_again_with_its_old_times() {
    let bench = Bench::new();
    bench.write("f", "one");
    bench.write("d/g", "same");
    let store = bench.another_store();
    let first = store.capture(&bench.request()).unwrap();
    let before = listing(&files(&first));
    store.close().unwrap();
    bench.write("f", "two");
    let store = bench.another_store();
    store.capture(&bench.request()).unwrap();
    assert!(!first.layer.exists());
    assert!(first.layer.parent().unwrap().join("manifest").exists());

    bench.write("f", "one");
    for path in ["d/g", "d"] {
        set_mtime(&bench.root().join(path), 7, 7);
    }
    let again = store.capture(&bench.request()).unwrap();
    assert_eq!(again.tree, first.tree);
    assert_eq!(again.manifest, first.manifest);
    assert_eq!(listing(&files(&again)), before);
    let later = bench.another_store().capture(&bench.request()).unwrap();
    assert!(later.reused);
}

#[test]
fn the_newest_tree_of_a_folder_stays_and_older_ones_go_when_nobody_uses_them() {
    let bench = Bench::new();
    bench.write("f", "one");
    let first = bench.capture();
    bench.write("f", "two");
    let other = bench.another_store();
    let second = other.capture(&bench.request()).unwrap();
    other.close().unwrap();
    assert!(first.layer.exists(), "a living process uses it");
    bench.store.close().unwrap();
    assert!(!first.layer.exists());
    assert!(second.layer.exists());
}

#[test]
fn a_tree_that_a_snapshot_refers_to_stays() {
    let bench = Bench::new();
    let trees = ["base", "delta", "unneeded", "newest"].map(|content| {
        bench.write("f", content);
        bench.capture()
    });
    let [base, delta, unneeded, _] = &trees;
    bench
        .store
        .index()
        .write(|change| {
            change.execute(
                "INSERT INTO snapshots (id, kind, image, base_tree, tree, boot)
                 VALUES ('root', 'step', 'i', ?1, NULL, 'b'), ('on-it', 'delta', 'i', NULL, ?2, 'b')",
                [base.tree.to_hex(), delta.tree.to_hex()],
            )
        })
        .unwrap();
    bench.store.clone().close().unwrap();
    assert!(base.layer.exists(), "it lies below the snapshot");
    assert!(delta.layer.exists(), "the snapshot holds the difference to it");
    assert!(!unneeded.layer.exists());
}

#[test]
fn a_tree_without_a_row_is_made_anew() {
    let bench = Bench::new();
    bench.write("f", "content");
    let first = bench.capture();
    fs::write(files(&first).join("f"), "damaged").unwrap();
    bench
        .store
        .index()
        .write(|change| change.execute("DELETE FROM workspaces", []))
        .unwrap();
    let again = bench.capture();
    assert!(!again.reused);
    assert_eq!(fs::read_to_string(files(&again).join("f")).unwrap(), "content");
}

#[test]
fn many_captures_at_once_end_with_one_tree() {
    let bench = Bench::new();
    for n in 0..300 {
        bench.write(&format!("d{}/f{n}", n % 7), &n.to_string());
    }
    let trees: Vec<_> = std::thread::scope(|scope| {
        let capture = || bench.another_store().capture(&bench.request()).unwrap().tree;
        let workers: Vec<_> = (0..6).map(|_| scope.spawn(capture)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(trees.iter().all(|tree| *tree == trees[0]));
    let folder = bench.store.layout().workspace_layer(&trees[0]).join(WORKSPACE_FOLDER);
    assert_eq!(listing(&folder), listing(&bench.root()));
}

#[test]
fn a_lost_tree_is_made_anew_and_not_taken_for_durable() {
    let bench = Bench::new();
    bench.write("f", "content");
    let first = bench.capture();
    bench.store.make_durable().unwrap();
    let durable = || {
        let ask = "SELECT durable FROM workspaces";
        bench
            .store
            .index()
            .read(|index| index.query_row(ask, [], |row| row.get::<_, i64>(0)))
            .unwrap()
    };
    assert_eq!(durable(), 1);
    assert!(bench.capture().reused);
    assert_eq!(durable(), 1);
    fs::remove_dir_all(first.layer.parent().unwrap()).unwrap();
    assert!(!bench.capture().reused);
    assert_eq!(durable(), 0);
}
