//! Bringing a folder of a machine from one tree to another.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hm_sandbox::{ApplyOp, ApplyReport, ApplyRequest, Expected, Launcher, Owner, RootFs, SandboxError, Stage};
use libtest_mimic::Trial;

use crate::support::{Bench, launcher, root_test, run};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("apply::entries_are_added_changed_and_removed", changes),
        root_test("apply::modes_times_owners_and_links_are_kept", attributes),
        root_test("apply::what_a_step_changed_is_a_conflict", conflicts),
        root_test("apply::what_steps_made_stays", steps_files),
        root_test("apply::a_file_becomes_a_folder_and_back", kinds),
        root_test("apply::links_of_a_step_lead_nowhere", escapes),
        root_test("apply::a_replaced_target_is_made_again", target),
        root_test("apply::odd_paths_are_refused", odd_paths),
        root_test("apply::many_conflicts_arrive", many),
        root_test("apply::a_missing_source_is_named", missing_source),
    ]
}

fn put(path: &str) -> ApplyOp {
    ApplyOp::Put {
        path: path.into(),
        replaces: false,
        expected: None,
    }
}

fn replace(path: &str, expected: impl Into<Option<Expected>>) -> ApplyOp {
    ApplyOp::Put {
        path: path.into(),
        replaces: true,
        expected: expected.into(),
    }
}

fn remove(path: &str, dir: bool, expected: impl Into<Option<Expected>>) -> ApplyOp {
    ApplyOp::Remove {
        path: path.into(),
        dir,
        expected: expected.into(),
    }
}

fn expected(path: &Path) -> Expected {
    let metadata = fs::symlink_metadata(path).unwrap();
    Expected {
        size: metadata.len(),
        mode: metadata.mode() & 0o7777,
        mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
    }
}

/// Two trees and a machine that has the old one at `/workspace`.
struct Trees {
    bench: Bench,
    launcher: Launcher,
}

impl Trees {
    async fn new() -> Self {
        let bench = Bench::new();
        for name in ["old/workspace", "new"] {
            fs::create_dir_all(bench.path(name)).unwrap();
        }
        Self {
            bench,
            launcher: launcher().await,
        }
    }

    fn old(&self, path: &str, text: &str) -> PathBuf {
        write(&self.bench.path("old/workspace").join(path), text)
    }

    fn new_file(&self, path: &str, text: &str) -> PathBuf {
        write(&self.bench.path("new").join(path), text)
    }

    fn machine(&self) -> RootFs {
        self.bench.machine_on(&["old".into()])
    }

    fn request(&self, rootfs: &RootFs, ops: Vec<ApplyOp>) -> ApplyRequest {
        ApplyRequest {
            rootfs: rootfs.clone(),
            target: "/workspace".into(),
            source: self.bench.path("new"),
            owner: Owner { uid: 0, gid: 0 },
            ops,
        }
    }

    async fn apply(&self, rootfs: &RootFs, ops: Vec<ApplyOp>) -> Vec<String> {
        let ApplyReport { conflicts } = self.launcher.apply(&self.request(rootfs, ops)).await.unwrap();
        conflicts
            .into_iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
    }

    async fn sh(&self, rootfs: &RootFs, command: &str) -> String {
        run(&self.launcher, rootfs, &format!("cd /workspace; {command}"))
            .await
            .out()
    }
}

fn write(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    path.to_owned()
}

async fn changes() {
    let trees = Trees::new().await;
    let (same, gone) = (trees.old("same", "1"), trees.old("gone/deep/file", "2"));
    let changed = trees.old("changed", "3");
    trees.new_file("same", "1");
    trees.new_file("changed", "33");
    trees.new_file("fresh/file", "4");
    fs::create_dir(trees.bench.path("new/empty")).unwrap();
    let machine = trees.machine();
    let ops = vec![
        remove("gone", true, None),
        remove("gone/deep", true, None),
        remove("gone/deep/file", false, expected(&gone)),
        replace("changed", expected(&changed)),
        put("empty"),
        put("fresh"),
        put("fresh/file"),
    ];
    assert_eq!(trees.apply(&machine, ops).await, [""; 0]);
    let listing = trees.sh(&machine, "find . | sort; cat same changed fresh/file").await;
    assert_eq!(listing, ".\n./changed\n./empty\n./fresh\n./fresh/file\n./same\n1334");
    assert!(
        same.exists() && gone.exists(),
        "the old tree is a layer and stays as it is"
    );
}

async fn attributes() {
    let trees = Trees::new().await;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let file = trees.new_file("d/tool", "#!");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
    symlink("../nowhere", trees.bench.path("new/d/link")).unwrap();
    fs::File::open(&file).unwrap().set_modified(time).unwrap();
    fs::set_permissions(trees.bench.path("new/d"), fs::Permissions::from_mode(0o2775)).unwrap();
    fs::File::open(trees.bench.path("new/d"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let machine = trees.machine();
    let mut request = trees.request(&machine, vec![put("d"), put("d/tool"), put("d/link")]);
    request.owner = Owner { uid: 12, gid: 34 };
    trees.launcher.apply(&request).await.unwrap();
    let upper = |path: &str| fs::symlink_metadata(machine.upper.join("workspace").join(path)).unwrap();
    for (path, mode) in [("d", 0o2775), ("d/tool", 0o751)] {
        let metadata = upper(path);
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.modified().unwrap()),
            (mode, time),
            "{path}"
        );
    }
    for path in ["d", "d/tool", "d/link"] {
        assert_eq!((upper(path).uid(), upper(path).gid()), (12, 34), "{path}");
    }
    assert_eq!(
        fs::read_link(machine.upper.join("workspace/d/link")).unwrap(),
        Path::new("../nowhere")
    );
}

async fn conflicts() {
    let trees = Trees::new().await;
    let names = ["formatted", "deleted", "removed", "untouched", "turned"];
    let before: Vec<_> = names.iter().map(|name| expected(&trees.old(name, "old"))).collect();
    for name in names.iter().filter(|name| **name != "removed") {
        trees.new_file(name, "user");
    }
    trees.new_file("both", "user");
    let machine = trees.machine();
    trees
        .sh(
            &machine,
            "echo step > formatted; rm deleted turned; echo step > removed; ln -s /etc/passwd turned; echo > both",
        )
        .await;
    let ops = vec![
        replace("formatted", before[0]),
        replace("deleted", before[1]),
        remove("removed", false, before[2]),
        replace("untouched", before[3]),
        replace("turned", before[4]),
        put("both"),
    ];
    assert_eq!(
        trees.apply(&machine, ops).await,
        ["both", "deleted", "formatted", "removed", "turned"]
    );
    let command = "ls; cat formatted deleted untouched turned both; test -L turned || echo file; wc -l < /etc/passwd";
    assert_eq!(
        trees.sh(&machine, command).await,
        "both\ndeleted\nformatted\nturned\nuntouched\nuseruseruseruseruserfile\n1\n"
    );
}

async fn steps_files() {
    let trees = Trees::new().await;
    let file = trees.old("gone/file", "1");
    let other = trees.old("folder", "1");
    let machine = trees.machine();
    trees
        .sh(
            &machine,
            "mkdir build; echo o > build/o; echo o > gone/o; rm folder; mkdir folder; echo > folder/x",
        )
        .await;
    let ops = vec![
        remove("gone/file", false, expected(&file)),
        remove("gone", true, None),
        remove("folder", false, expected(&other)),
    ];
    assert_eq!(trees.apply(&machine, ops).await, ["folder"]);
    assert_eq!(
        trees.sh(&machine, "find . -type f | sort").await,
        "./build/o\n./folder/x\n./gone/o\n"
    );
}

async fn kinds() {
    let trees = Trees::new().await;
    let (inner, file) = (trees.old("d/inner", "1"), trees.old("f", "2"));
    let full = trees.old("full/inner", "3");
    trees.new_file("d", "now a file");
    trees.new_file("f/inner", "now a folder");
    trees.new_file("full", "now a file");
    symlink("d", trees.bench.path("new/l")).unwrap();
    let machine = trees.machine();
    trees.sh(&machine, "echo > full/of-a-step").await;
    let ops = vec![
        remove("d/inner", false, expected(&inner)),
        remove("full/inner", false, expected(&full)),
        replace("d", None),
        replace("f", expected(&file)),
        put("f/inner"),
        replace("full", None),
        put("l"),
    ];
    assert_eq!(trees.apply(&machine, ops).await, ["full"]);
    let command = "cat d f/inner full l; test -L l && echo link";
    assert_eq!(
        trees.sh(&machine, command).await,
        "now a filenow a foldernow a filenow a filelink\n"
    );
}

async fn escapes() {
    let trees = Trees::new().await;
    fs::create_dir(trees.bench.path("outside")).unwrap();
    let outside = write(&trees.bench.path("outside/file"), "precious");
    let old = trees.old("a/file", "1");
    trees.old("b/file", "1");
    trees.old("c", "1");
    trees.new_file("b/file", "2");
    trees.new_file("c", "2");
    trees.new_file("x/y/file", "2");
    let machine = trees.machine();
    let target = trees.bench.path("outside");
    let target = target.to_str().unwrap();
    trees
        .sh(
            &machine,
            &format!(
                "rm -r a b c; ln -s {target} a; ln -s {target} b; ln -s {target}/file c; mkdir x; ln -s {target} x/y"
            ),
        )
        .await;
    let ops = vec![
        remove("a/file", false, expected(&old)),
        remove("a", true, None),
        replace("b/file", None),
        replace("c", None),
        put("x/y/file"),
    ];
    assert_eq!(trees.apply(&machine, ops).await, ["a", "b", "x/y"]);
    assert_eq!(fs::read_to_string(outside).unwrap(), "precious");
    assert_eq!(fs::read_dir(target).unwrap().count(), 1);
    assert_eq!(
        trees
            .sh(&machine, "cat b/file c x/y/file; test -L a && echo stays")
            .await,
        "222stays\n"
    );
}

async fn target() {
    let trees = Trees::new().await;
    trees.new_file("file", "1");
    let machine = trees.machine();
    run(&trees.launcher, &machine, "rm -r /workspace; ln -s /etc /workspace")
        .await
        .out();
    assert_eq!(trees.apply(&machine, vec![put("file")]).await, [""]);
    assert_eq!(trees.sh(&machine, "pwd -P; ls").await, "/workspace\nfile\n");
    let mut request = trees.request(&machine, vec![put("file")]);
    request.target = "/deep/place".into();
    trees.launcher.apply(&request).await.unwrap();
    assert_eq!(trees.sh(&machine, "ls /deep/place; ls /etc").await, "file\npasswd\n");
}

async fn odd_paths() {
    let trees = Trees::new().await;
    trees.new_file("file", "1");
    let machine = trees.machine();
    for path in ["../file", "/file", "a/../file", ""] {
        let error = trees
            .launcher
            .apply(&trees.request(&machine, vec![put(path)]))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                SandboxError::Setup {
                    stage: Stage::Request,
                    ..
                }
            ),
            "{path}: {error:?}"
        );
    }
}

async fn many() {
    let trees = Trees::new().await;
    let names: Vec<String> = (0..4000)
        .map(|number| format!("a-name-that-is-quite-long-{number:010}"))
        .collect();
    for name in &names {
        trees.old(name, "1");
        trees.new_file(name, "2");
    }
    let machine = trees.machine();
    trees.sh(&machine, "rm *").await;
    let wrong = Some(Expected {
        size: 9,
        mode: 0,
        mtime_ns: 0,
    });
    let ops = names.iter().map(|name| replace(name, wrong)).collect();
    assert_eq!(trees.apply(&machine, ops).await, names);
}

async fn missing_source() {
    let trees = Trees::new().await;
    let machine = trees.machine();
    let error = trees
        .launcher
        .apply(&trees.request(&machine, vec![put("none")]))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the sandbox could not read the tree that is applied (none)"
    );
}
