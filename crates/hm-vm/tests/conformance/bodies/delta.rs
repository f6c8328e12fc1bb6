use futures::future::join_all;
use hm_plugin_protocol::SnapshotRef;
use hm_vm::Vm;

use crate::ground::{Ground, left, says};

/// A machine with the tree as it stands runs a command and leaves a snapshot.
async fn built(ground: &Ground, cmd: &str) -> SnapshotRef {
    let mut machine = ground.boot_with(Some(ground.capture())).await;
    let snapshot = left(&mut *machine, cmd).await;
    machine.close().await.unwrap();
    snapshot
}

/// A machine from the snapshot with the tree as it stands.
async fn next(ground: &Ground, from: &SnapshotRef) -> Box<dyn Vm> {
    ground.restore_with(from, Some(ground.capture())).await
}

/// The machine holds this below its working folder, and has no notes.
async fn holds(mut machine: Box<dyn Vm>, cmd: &str, out: &str) {
    assert_eq!(machine.take_notes(), [""; 0]);
    says(&mut *machine, cmd, out).await;
    machine.close().await.unwrap();
}

pub(super) async fn unchanged_tree_changes_nothing(ground: &Ground) {
    ground.tree.write("f", "user").write("g", "user").write("d/h", "user");
    let parent = built(
        ground,
        "echo formatted > f; rm g; echo generated > d/gen; chmod 600 d/h",
    )
    .await;
    let machine = next(ground, &parent).await;
    holds(
        machine,
        "cat f d/gen; stat -c %a d/h; ls",
        "formatted\ngenerated\n600\nd\nf\n",
    )
    .await;
    // Times alone are no difference.
    ground.tree.write("f", "user");
    holds(next(ground, &parent).await, "cat f; ls", "formatted\nd\nf\n").await;
    // No workspace at all means the one it holds.
    holds(ground.restore(&parent).await, "cat f; ls", "formatted\nd\nf\n").await;
}

pub(super) async fn changed_new_and_deleted_files(ground: &Ground) {
    ground
        .tree
        .write("change", "old")
        .write("delete", "x")
        .write("d/delete", "x")
        .write("keep", "k")
        .write("gone/f", "x");
    let parent = built(ground, "true").await;
    ground
        .tree
        .write("change", "new")
        .write("new", "n")
        .write("deep/er/new", "n")
        .remove("delete")
        .remove("d/delete");
    ground.tree.remove("gone");
    let all = ".\n./change\n./d\n./deep\n./deep/er\n./deep/er/new\n./keep\n./new\n";
    holds(
        next(ground, &parent).await,
        "cat change new deep/er/new; echo; find . | sort",
        &format!("newnn\n{all}"),
    )
    .await;
}

pub(super) async fn what_steps_made_stays(ground: &Ground) {
    ground
        .tree
        .write("src/a", "old")
        .write("gone/f", "x")
        .write("emptied/f", "x");
    let parent = built(
        ground,
        "mkdir target; echo o > target/o; echo s > gone/step; echo t > /tmp/t; echo k > src/step",
    )
    .await;
    ground.tree.write("src/a", "new").remove("gone").remove("emptied");
    let all = ".\n./gone\n./gone/step\n./src\n./src/a\n./src/step\n./target\n./target/o\n";
    let machine = next(ground, &parent).await;
    holds(
        machine,
        "cat src/a; cat target/o /tmp/t; find . | sort",
        &format!("newo\nt\n{all}"),
    )
    .await;
}

pub(super) async fn links_modes_and_empty_folders(ground: &Ground) {
    let tree = &ground.tree;
    tree.write("run", "#!/bin/sh\necho ran\n")
        .write("target-a", "A")
        .write("target-b", "B")
        .link("link", "target-a");
    tree.folder("was-empty")
        .folder("mode")
        .write("to-link", "file")
        .link("to-file", "target-a");
    let parent = built(ground, "true").await;
    tree.mode("run", 0o755)
        .mode("mode", 0o700)
        .remove("link")
        .link("link", "target-b")
        .remove("was-empty");
    tree.folder("is-empty")
        .remove("to-link")
        .link("to-link", "run")
        .remove("to-file")
        .write("to-file", "now a file");
    let machine = next(ground, &parent).await;
    let out = "ran\n700\nBtarget-b\nrun\nnow a file";
    let cmd = "./run; stat -c %a mode; cat link; readlink link to-link; cat to-file; [ -d is-empty ] && [ ! -e was-empty ] && [ ! -L to-file ]";
    holds(machine, cmd, out).await;
}

pub(super) async fn renames(ground: &Ground) {
    ground
        .tree
        .write("a", "A")
        .write("d/x", "X")
        .write("d/y", "Y")
        .write("same", "case");
    let parent = built(ground, "true").await;
    ground.tree.rename("a", "b").rename("d", "e").rename("same", "Same");
    holds(
        next(ground, &parent).await,
        "cat b e/x e/y Same; echo; find . | sort | wc -l",
        "AXYcase\n6\n",
    )
    .await;
}

pub(super) async fn folders_become_files_and_files_folders(ground: &Ground) {
    ground
        .tree
        .write("f", "file")
        .write("d/in", "x")
        .write("d/deep/in", "x")
        .write("l/in", "x");
    let parent = built(ground, "true").await;
    ground
        .tree
        .remove("f")
        .write("f/in", "now in a folder")
        .remove("d")
        .write("d", "now a file")
        .remove("l")
        .link("l", "d");
    let machine = next(ground, &parent).await;
    holds(
        machine,
        "cat f/in d l; readlink l; [ -f d ]",
        "now in a foldernow a filenow a filed\n",
    )
    .await;
}

pub(super) async fn the_users_version_wins(ground: &Ground) {
    ground
        .tree
        .write("both", "user 1")
        .write("step-only", "user 1")
        .write("user-only", "user 1")
        .write("step-removed", "1");
    let parent = built(
        ground,
        "echo a longer text of the step > both; echo step > step-only; rm step-removed; echo s > new",
    )
    .await;
    ground
        .tree
        .write("both", "user 2")
        .write("user-only", "user 2")
        .write("step-removed", "2")
        .write("new", "user");
    let mut machine = next(ground, &parent).await;
    let notes = machine.take_notes().join("\n");
    for (path, named) in [
        ("both", true),
        ("new", true),
        ("step-only", false),
        ("user-only", false),
    ] {
        assert_eq!(notes.contains(path), named, "{path} in {notes:?}");
    }
    assert_eq!(machine.take_notes(), [""; 0]);
    says(
        &mut *machine,
        "cat both user-only new step-removed; cat step-only",
        "user 2user 2user2step\n",
    )
    .await;
    machine.close().await.unwrap();
}

pub(super) async fn several_trees_one_after_the_other(ground: &Ground) {
    ground.tree.write("f", "1").write("g", "1");
    let mut last = built(ground, "echo built > out").await;
    for number in 2..6 {
        ground
            .tree
            .write("f", &number.to_string())
            .write(&format!("n{number}"), "");
        let mut machine = next(ground, &last).await;
        says(
            &mut *machine,
            "cat f out; cat log 2> /dev/null || true",
            &expected(number),
        )
        .await;
        last = left(&mut *machine, &format!("echo {number} >> log")).await;
        machine.close().await.unwrap();
    }
    ground
        .tree
        .write("f", "1")
        .remove("n2")
        .remove("n3")
        .remove("n4")
        .remove("n5");
    holds(next(ground, &last).await, "cat f; ls", "1f\ng\nlog\nout\n").await;
}

fn expected(number: u32) -> String {
    let log: String = (2..number).map(|earlier| earlier.to_string() + "\n").collect();
    format!("{number}built\n{log}")
}

pub(super) async fn siblings_share_it(ground: &Ground) {
    ground.tree.write("f", "1");
    let parent = built(ground, "echo built > out").await;
    ground.tree.write("f", "2");
    let workspace = ground.capture();
    let (parent, workspace) = (&parent, &workspace);
    let siblings = (0..6).map(|number| async move {
        let mut machine = ground.restore_with(parent, Some(workspace.clone())).await;
        says(
            &mut *machine,
            &format!("cat f out; echo {number} > f; cat f"),
            &format!("2built\n{number}\n"),
        )
        .await;
        machine.close().await.unwrap();
    });
    join_all(siblings).await;
    ground.backend.release(parent).await.unwrap();
}

pub(super) async fn does_not_count_for_the_content_hash(ground: &Ground) {
    ground.tree.write("f", "1").write("g", "1");
    let one = built(ground, "echo built > out").await;
    ground.tree.write("f", "2");
    let two = built(ground, "echo built > out").await;
    let hash = ground.backend.content_hash(&one).await.unwrap();
    assert_eq!(ground.backend.content_hash(&two).await.unwrap(), hash);
    ground.tree.write("f", "3");
    let mut machine = next(ground, &one).await;
    let child = left(&mut *machine, "echo more > more").await;
    machine.close().await.unwrap();
    let mut machine = next(ground, &two).await;
    let other = left(&mut *machine, "echo more > more").await;
    machine.close().await.unwrap();
    let hash = ground.backend.content_hash(&child).await.unwrap();
    assert_eq!(ground.backend.content_hash(&other).await.unwrap(), hash);
}
