//! What belongs to a workspace.

use std::fs;
use std::os::unix::net::UnixListener;

use super::super::CaptureRequest;
use super::bench::{Bench, names};
use crate::{Store, StoreSettings};

#[test]
fn ignore_rules_hold_also_outside_of_a_repository() {
    let bench = Bench::new();
    for file in [
        "keep.txt",
        "a.log",
        "b.tmp",
        "build/out",
        "sub/a.log",
        "sub/keep.log",
        "sub/build/out",
        ".hidden",
        "x.o",
    ] {
        bench.write(file, "x");
    }
    bench.write(".gitignore", "*.log\n/build/\n*.tmp\n");
    bench.write("sub/.gitignore", "!keep.log\n");
    bench.write(".ignore", "!b.tmp\n");
    let excludes = bench.base.path().join("excludes");
    fs::write(&excludes, "*.o\n").unwrap();
    let request = CaptureRequest {
        global_excludes: Some(excludes),
        ..bench.request()
    };
    let mut expected = vec![
        ".gitignore",
        ".hidden",
        ".ignore",
        "b.tmp",
        "keep.txt",
        "sub",
        "sub/.gitignore",
        "sub/build",
        "sub/build/out",
    ];
    expected.push("sub/keep.log");
    assert_eq!(bench.names(&request), expected);
    assert!(bench.names(&bench.request()).contains(&"x.o".to_owned()));
}

#[test]
fn rules_of_the_repository_above_hold_and_those_beyond_it_do_not() {
    let bench = Bench::new();
    fs::write(bench.base.path().join(".gitignore"), "beyond\n").unwrap();
    fs::write(bench.base.path().join(".ignore"), "beyond\n").unwrap();
    bench.write(".git/info/exclude", "excluded\n");
    bench.write(".gitignore", "/sub/ignored\n");
    for file in ["sub/beyond", "sub/ignored", "sub/excluded", "sub/kept"] {
        bench.write(file, "x");
    }
    let request = CaptureRequest::new(bench.root().join("sub"));
    assert_eq!(bench.names(&request), ["beyond", "kept"]);
    assert_eq!(
        bench.names(&bench.request()),
        [".gitignore", "sub", "sub/beyond", "sub/kept"]
    );
}

#[test]
fn a_repository_inside_has_rules_of_its_own() {
    let bench = Bench::new();
    bench.write(".git/HEAD", "x");
    bench.write(".gitignore", "*.o\n");
    bench.write("module/.git", "gitdir: ../.git/modules/module\n");
    bench.write(".git/modules/module/info/exclude", "mine\n");
    for file in ["a.o", "module/a.o", "module/mine"] {
        bench.write(file, "x");
    }
    assert_eq!(bench.names(&bench.request()), [".gitignore", "module", "module/a.o"]);
}

#[test]
fn git_and_hm_come_along_when_asked_for() {
    let bench = Bench::new();
    for file in [
        ".git/HEAD",
        ".git/logs/HEAD",
        ".hm/pipeline.py",
        "example/.hm/pipeline.py",
        "module/.git/HEAD",
        "f",
    ] {
        bench.write(file, "x");
    }
    bench.write(".gitignore", "logs\n.hm\n");
    assert_eq!(bench.names(&bench.request()), [".gitignore", "example", "f", "module"]);
    bench.write(".gitignore", "logs\n");
    assert_eq!(
        bench.names(&bench.request()),
        [
            ".gitignore",
            "example",
            "example/.hm",
            "example/.hm/pipeline.py",
            "f",
            "module"
        ]
    );
    let all = CaptureRequest {
        include_git: true,
        include_hm: true,
        ..bench.request()
    };
    let names = bench.names(&all);
    for file in [".git/HEAD", ".git/logs/HEAD", ".hm/pipeline.py", "module/.git/HEAD"] {
        assert!(names.contains(&file.to_owned()), "{file} in {names:?}");
    }
}

#[test]
fn a_store_inside_the_tree_is_left_out() {
    let bench = Bench::new();
    let store = Store::open(StoreSettings {
        root: bench.root().join("in/store"),
        clock: bench.clock.clone(),
    })
    .unwrap();
    bench.write("f", "x");
    assert_eq!(names(&store.capture(&bench.request()).unwrap()), ["f", "in"]);
}

#[test]
fn what_is_no_file_is_skipped_with_a_note() {
    let bench = Bench::new();
    bench.write("f", "x");
    let listener = UnixListener::bind(bench.root().join("socket")).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.root().join("pipe"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    bench.write(".gitignore", "a\n[z\n");
    let workspace = bench.capture();
    drop(listener);
    assert_eq!(names(&workspace), [".gitignore", "f"]);
    assert!(
        workspace
            .notes
            .contains(&"pipe is a named pipe: left out of the workspace".to_owned())
    );
    assert!(
        workspace
            .notes
            .contains(&"socket is a socket: left out of the workspace".to_owned())
    );
}
