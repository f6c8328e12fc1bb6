//! Which trees are made, shared and kept.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::super::{CaptureRequest, WORKSPACE_FOLDER, Workspace};
use super::bench::{Bench, files, listing};

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

#[test]
fn a_later_tree_shares_what_did_not_change() {
    let bench = Bench::new();
    bench.write("same", "same");
    bench.write("mode", "mode");
    bench.write("edited", "before");
    bench.write("gone/file", "x");
    let first = bench.capture();
    bench.write("edited", "after!");
    bench.write("new", "new");
    fs::remove_dir_all(bench.root().join("gone")).unwrap();
    fs::set_permissions(bench.root().join("mode"), Permissions::from_mode(0o755)).unwrap();
    let second = bench.capture();
    assert_ne!(second.tree, first.tree);
    assert_eq!(listing(&files(&second)), listing(&bench.root()));
    let inode = |workspace: &Workspace, name: &str| fs::metadata(files(workspace).join(name)).unwrap().ino();
    assert_eq!(inode(&first, "same"), inode(&second, "same"));
    assert_ne!(inode(&first, "mode"), inode(&second, "mode"));
    assert_eq!(fs::read_to_string(files(&first).join("edited")).unwrap(), "before");
    assert_eq!(fs::metadata(files(&first).join("mode")).unwrap().mode() & 0o777, 0o644);
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
