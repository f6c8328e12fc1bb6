//! What a step sees of the working tree, also when it boots from a snapshot of an older one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Ir, Lab};

/// Lists every entry with type, mode, and content or target.
const LIST: &str = "find . -mindepth 1 | sort | while read -r p; do
    if [ -L \"$p\" ]; then echo \"$p -> $(readlink \"$p\")\";
    elif [ -d \"$p\" ]; then echo \"$p/\";
    else echo \"$p $(stat -c %a \"$p\") $(cat \"$p\")\"; fi; done";

fn make_tree(lab: &Lab) {
    lab.write("keep", "keep");
    lab.write("deleted", "x");
    lab.write("gone/inside", "x");
    lab.write("old-name", "moved");
    lab.write("script", "#!/bin/sh");
    lab.write("becomes-folder", "x");
    lab.write("becomes-file/inside", "x");
    symlink("keep", lab.tree().join("link")).unwrap();
    symlink("nowhere", lab.tree().join("dangling")).unwrap();
    fs::create_dir(lab.tree().join("empty")).unwrap();
}

fn change_tree(lab: &Lab) {
    let tree = lab.tree();
    fs::remove_file(tree.join("deleted")).unwrap();
    fs::remove_dir_all(tree.join("gone")).unwrap();
    fs::rename(tree.join("old-name"), tree.join("new-name")).unwrap();
    fs::set_permissions(tree.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(tree.join("link")).unwrap();
    symlink("new-name", tree.join("link")).unwrap();
    fs::remove_file(tree.join("becomes-folder")).unwrap();
    lab.write("becomes-folder/inside", "y");
    fs::remove_dir_all(tree.join("becomes-file")).unwrap();
    lab.write("becomes-file", "y");
    fs::remove_dir(tree.join("empty")).unwrap();
    fs::create_dir(tree.join("empty-too")).unwrap();
}

const OLD: [&str; 12] = [
    "./becomes-file/",
    "./becomes-file/inside 644 x",
    "./becomes-folder 644 x",
    "./dangling -> nowhere",
    "./deleted 644 x",
    "./empty/",
    "./gone/",
    "./gone/inside 644 x",
    "./keep 644 keep",
    "./link -> keep",
    "./old-name 644 moved",
    "./script 644 #!/bin/sh",
];

const NEW: [&str; 9] = [
    "./becomes-file 644 y",
    "./becomes-folder/",
    "./becomes-folder/inside 644 y",
    "./dangling -> nowhere",
    "./empty-too/",
    "./keep 644 keep",
    "./link -> new-name",
    "./new-name 644 moved",
    "./script 755 #!/bin/sh",
];

#[test]
fn the_tree_arrives_exactly() {
    let lab = Lab::new();
    make_tree(&lab);
    assert_eq!(lab.run(&Ir::new().step("s", LIST)).passed().stdout("s"), OLD);
}

#[test]
fn a_step_on_a_snapshot_of_an_older_tree_sees_the_tree_of_today() {
    let lab = Lab::new();
    make_tree(&lab);
    let ir = Ir::new()
        .step("p", "true")
        .forever()
        .step("c", LIST)
        .builds_in("p")
        .step("d", LIST)
        .builds_in("p");
    assert_eq!(lab.run(&ir).passed().stdout("c"), OLD);
    change_tree(&lab);
    let run = lab.run(&ir).passed();
    assert_eq!(run.status("p"), "cached", "the parent is of the older tree");
    assert_eq!(run.stdout("c"), NEW);
    assert_eq!(run.stdout("d"), NEW, "every child of that snapshot");
}

/// The snapshot's own tree is neither the newest of the folder nor the one before it.
#[test]
fn a_snapshot_outlives_any_number_of_later_trees() {
    let lab = Lab::new();
    make_tree(&lab);
    let ir = Ir::new()
        .step("p", "mkdir made")
        .forever()
        .step("q", "rmdir made")
        .forever()
        .builds_in("p")
        .step("c", LIST)
        .builds_in("q");
    assert_eq!(lab.run(&ir).passed().stdout("c"), OLD);
    lab.write("between", "x");
    for content in ["1", "2", "3"] {
        lab.write("between", content);
        lab.run(&ir).passed();
    }
    fs::remove_file(lab.tree().join("between")).unwrap();
    change_tree(&lab);
    let run = lab.run(&ir).passed();
    assert_eq!(run.status("q"), "cached", "the parent is of the oldest tree");
    assert_eq!(run.stdout("c"), NEW);
}

#[test]
fn what_steps_made_stays_and_what_the_user_changed_wins() {
    let lab = Lab::new();
    for name in ["formatted", "edited", "dir/source"] {
        lab.write(name, "user 1\n");
    }
    let parent = "echo step > formatted; echo step > edited; mkdir build; echo step > build/out; echo step > dir/made";
    let child = "cat formatted edited build/out dir/made; test ! -e dir/source && echo source is gone";
    let ir = Ir::new().step("p", parent).forever().step("c", child).builds_in("p");
    lab.run(&ir);
    lab.write("edited", "user 2\n");
    fs::remove_file(lab.tree().join("dir/source")).unwrap();
    let run = lab.run(&ir).passed();
    assert_eq!(run.status("p"), "cached");
    assert_eq!(run.stdout("c"), ["step", "user 2", "step", "step", "source is gone"]);
    assert!(run.notes("c").iter().any(|note| note.contains("edited")), "{run:#?}");
}

#[test]
fn the_same_tree_leaves_a_parents_changes_alone() {
    let lab = Lab::new();
    lab.write("f", "user");
    let ir = Ir::new()
        .step("p", "echo formatted > f; rm -rf gone")
        .step("c", "cat f")
        .builds_in("p");
    assert_eq!(lab.run(&ir).passed().stdout("c"), ["formatted"]);
}

#[test]
fn ignored_files_git_and_hm_folders_stay_out() {
    let lab = Lab::new();
    for (name, content) in [
        (".gitignore", "target\n"),
        ("target/x", "x"),
        (".git/config", "x"),
        (".hm/pipeline.py", ""),
        (".hidden", "h"),
    ] {
        lab.write(name, content);
    }
    let run = lab.run(&Ir::new().step("s", "find . -mindepth 1 | sort")).passed();
    assert_eq!(run.stdout("s"), ["./.gitignore", "./.hidden"]);
}

#[test]
fn a_step_never_writes_to_the_users_tree() {
    let lab = Lab::new();
    lab.write("f", "user");
    lab.run(&Ir::new().step("s", "echo step > f; rm -f g; echo new > h; chmod 777 ."))
        .passed();
    assert_eq!(fs::read_to_string(lab.tree().join("f")).unwrap(), "user");
    assert_eq!(fs::read_dir(lab.tree()).unwrap().count(), 1);
}

#[test]
fn steps_side_by_side_do_not_see_each_other() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("p", "true")
        .step("a", "echo a > /x; cat /x")
        .builds_in("p")
        .step("b", "test ! -e /x")
        .builds_in("p")
        .after("a");
    lab.run(&ir).passed();
}
