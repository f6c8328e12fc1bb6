//! When an earlier result is used and when it is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use crate::support::{Ir, Lab, Run};

#[test]
fn nothing_changed_is_a_hit() {
    let lab = Lab::new();
    lab.write("src/a", "1");
    let ir = Ir::new().step("s", "cat src/a").on_change(&["src"]);
    assert_eq!(lab.run(&ir).passed().status("s"), "passed");
    assert_eq!(lab.run(&ir).passed().status("s"), "cached");
}

#[test]
fn what_is_over_the_limit_goes_at_the_end_of_a_build() {
    let lab = Lab::new();
    let ir = Ir::new().step("s", "echo 1 > file").forever();
    let with = |limit: &str| {
        let output = lab.run_command(&ir).env("HM_CACHE__MAX_BYTES", limit).output();
        Run::of(&output.unwrap()).passed().status("s").to_owned()
    };
    assert_eq!(with("1GB"), "passed");
    assert_eq!(with("0"), "cached");
    assert_eq!(with("1GB"), "passed");
    assert_eq!(with("1GB"), "cached");
}

#[test]
fn another_command_is_a_miss() {
    let lab = Lab::new();
    lab.run(&Ir::new().step("s", "echo 1").forever()).passed();
    let run = lab.run(&Ir::new().step("s", "echo 2").forever()).passed();
    assert_eq!((run.status("s"), run.stdout("s")), ("passed", vec!["2"]));
}

#[test]
fn another_value_in_the_environment_is_a_miss() {
    let lab = Lab::new();
    let ir = Ir::new().step("s", "echo $V").forever();
    lab.run_with(&ir, &["-e", "V=1"]).passed();
    assert_eq!(lab.run_with(&ir, &["-e", "V=1"]).passed().status("s"), "cached");
    let run = lab.run_with(&ir, &["-e", "V=2"]).passed();
    assert_eq!((run.status("s"), run.stdout("s")), ("passed", vec!["2"]));
    let step = |value: &str| Ir::new().step("s", "echo $V").env("V", value).forever();
    lab.run(&step("3")).passed();
    assert_eq!(lab.run(&step("4")).passed().stdout("s"), ["4"]);
}

#[test]
fn variables_of_the_machine_take_part_only_where_the_policy_names_them() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("s", "true")
        .with("cache", json!({"policy": "forever", "env_keys": ["TOOL"]}));
    let with = |name: &str, value: &str| {
        Run::of(&lab.run_command(&ir).env(name, value).output().unwrap())
            .passed()
            .status("s")
            .to_owned()
    };
    assert_eq!(with("TOOL", "1"), "passed");
    assert_eq!(with("TOOL", "1"), "cached");
    assert_eq!(with("TOOL", "2"), "passed");
    with("OTHER", "1");
    assert_eq!(with("OTHER", "2"), "cached");
}

#[test]
fn another_content_of_the_image_is_a_miss() {
    let lab = Lab::new();
    fs::write(lab.root().join("etc/version"), "1").unwrap();
    let ir = Ir::new().step("s", "cat /etc/version").forever();
    assert_eq!(lab.run(&ir).passed().stdout("s"), ["1"]);
    assert_eq!(lab.run(&ir).passed().status("s"), "cached");
    fs::write(lab.root().join("etc/version"), "2").unwrap();
    assert_eq!(lab.run(&ir).passed().stdout("s"), ["2"]);
}

#[test]
fn content_and_mode_of_watched_files_count_and_others_do_not() {
    let lab = Lab::new();
    lab.write("src/a", "1\n");
    lab.write("other", "1");
    let ir = Ir::new()
        .step("s", "cat src/a; ls -l src/a | cut -c1-10")
        .on_change(&["src/**"]);
    lab.run(&ir).passed();

    lab.write("other", "2");
    assert_eq!(
        lab.run(&ir).passed().status("s"),
        "cached",
        "a file that is not watched"
    );

    lab.write("src/a", "2\n");
    let run = lab.run(&ir).passed();
    assert_eq!(
        (run.status("s"), run.stdout("s")),
        ("passed", vec!["2", "-rw-r--r--"]),
        "content"
    );

    fs::set_permissions(lab.tree().join("src/a"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = lab.run(&ir).passed();
    assert_eq!(
        (run.status("s"), run.stdout("s")),
        ("passed", vec!["2", "-rwxr-xr-x"]),
        "mode"
    );

    lab.write("src/b", "");
    assert_eq!(lab.run(&ir).passed().status("s"), "passed", "a new name");
}

#[test]
fn a_watched_path_that_matches_nothing_is_named() {
    let lab = Lab::new();
    let run = lab
        .run(&Ir::new().step("s", "true").on_change(&["no/such/path"]))
        .passed();
    assert!(
        run.notes("s").iter().any(|note| note.contains("no/such/path")),
        "{run:#?}"
    );
}

#[test]
fn another_parent_is_a_miss() {
    let lab = Lab::new();
    let ir = |parent: &str| {
        Ir::new()
            .step("p", parent)
            .forever()
            .step("c", "cat /made")
            .builds_in("p")
            .forever()
    };
    lab.run(&ir("echo 1 > /made")).passed();
    assert_eq!(lab.run(&ir("echo 1 > /made")).passed().status("c"), "cached");
    let run = lab.run(&ir("echo 2 > /made")).passed();
    assert_eq!((run.status("c"), run.stdout("c")), ("passed", vec!["2"]));
}

#[test]
fn a_cached_step_under_an_uncached_parent_hits_when_the_parent_made_the_same_bytes() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("p", "cat src > /made; date +%N > /dev/null")
        .step("c", "cat /made")
        .builds_in("p")
        .forever();
    lab.write("src", "1");
    assert_eq!(lab.run(&ir).passed().status("c"), "passed");
    let again = lab.run(&ir).passed();
    assert_eq!(
        (again.status("p"), again.status("c")),
        ("passed", "cached"),
        "early cutoff"
    );
    lab.write("src", "2");
    let changed = lab.run(&ir).passed();
    assert_eq!((changed.status("c"), changed.stdout("c")), ("passed", vec!["2"]));
}

#[test]
fn another_folder_and_a_clone_of_the_repository_hit() {
    let lab = Lab::new();
    lab.write("src/a", "1");
    let ir = Ir::new().step("s", "cat src/a").on_change(&["src"]);
    lab.run(&ir).passed();
    git(&lab.tree(), &["init", "-q"]);
    git(&lab.tree(), &["add", "."]);
    git(
        &lab.tree(),
        &[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.invalid",
            "commit",
            "-qm",
            "one",
        ],
    );
    git(&lab.tree(), &["clone", "-q", ".", "../clone"]);
    let run = lab
        .run_with(&ir, &["--dir", lab.path("clone").to_str().unwrap()])
        .passed();
    assert_eq!((run.status("s"), run.stdout("s")), ("cached", vec!["1"]));
}

fn git(folder: &std::path::Path, arguments: &[&str]) {
    assert!(
        Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_failed_step_is_not_kept() {
    let lab = Lab::new();
    let ir = Ir::new().step("s", "exit 1").forever();
    assert_eq!(lab.run(&ir).status("s"), "failed");
    assert_eq!(lab.run(&ir).status("s"), "failed");
}

#[test]
fn no_cache_runs_everything_and_renews_what_is_kept() {
    let lab = Lab::new();
    let ir = Ir::new().step("s", "cat /proc/sys/kernel/random/uuid").forever();
    let first = lab.run(&ir).passed();
    let renewed = lab.run_with(&ir, &["--no-cache"]).passed();
    assert_eq!(renewed.status("s"), "passed", "nothing is used");
    assert_ne!(renewed.stdout("s"), first.stdout("s"));
    let after = lab.run(&ir).passed();
    assert_eq!(
        (after.status("s"), after.stdout("s")),
        ("cached", renewed.stdout("s")),
        "the new result is kept"
    );
}

#[test]
fn a_cached_parent_is_a_full_file_system_for_its_uncached_child() {
    let lab = Lab::new();
    let ir = |word: &str| {
        Ir::new()
            .step("p", "mkdir /d && echo kept > /d/f")
            .forever()
            .step("c", &format!("cat /d/f; echo {word}"))
            .builds_in("p")
    };
    lab.run(&ir("one")).passed();
    let run = lab.run(&ir("two")).passed();
    assert_eq!((run.status("p"), run.stdout("c")), ("cached", vec!["kept", "two"]));
}

#[test]
fn identical_steps_of_two_builds_at_once_run_once() {
    let lab = Lab::new();
    let door = crate::support::Door::new();
    let ir = Ir::new()
        .step("s", &format!("echo up; {}", door.wait_command()))
        .forever();
    let mut first = lab.start(&ir, &[]);
    first.wait_for_line("up");
    let second = lab.start(&ir, &[]);
    door.open();
    let (first, second) = (first.finish().passed(), second.finish().passed());
    assert_eq!(
        (first.status("s"), second.status("s")),
        ("passed", "cached"),
        "{second:#?}"
    );
}

#[test]
fn timeouts_and_labels_take_no_part() {
    let lab = Lab::new();
    lab.run(&Ir::new().step("s", "true").forever()).passed();
    let ir = Ir::new()
        .step("renamed", "true")
        .forever()
        .with("timeout_seconds", json!(50))
        .with("label", json!("L"));
    assert_eq!(lab.run(&ir).passed().status("renamed"), "cached");
}
