//! The examples, and this repository's own pipeline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Lab, Run};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

#[test]
fn the_hello_example_is_green_and_cached_the_second_time() {
    let lab = Lab::new();
    let run = || {
        let mut command = lab.hm();
        Run::of(
            &command
                .args(["run", "--format", "json", "--dir"])
                .arg(repository().join("examples/hello"))
                .output()
                .unwrap(),
        )
    };
    run().passed();
    assert!(!run().passed().kinds("step_cache_hit").is_empty());
}

/// What the README tells a newcomer to write, word for word.
#[test]
fn the_first_pipeline_of_the_readme_runs() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, after) = readme.split_once("```python\n").unwrap();
    let (pipeline, _) = after.split_once("```").unwrap();
    let lab = Lab::new();
    lab.write(".hm/pipeline.py", pipeline);
    lab.write("src/main", "x");
    lab.write(
        "Makefile",
        "built:\n\tcp src/main built\ncheck:\n\ttest -e built\nlint:\n\ttest -e built\n",
    );
    let run = || Run::of(&lab.hm().args(["run", "--format", "json"]).output().unwrap()).passed();
    let first = run();
    assert_eq!((first.status("test"), first.status("lint")), ("passed", "passed"));
    let again = run();
    assert_eq!((again.status("build"), again.status("test")), ("cached", "passed"));
}

/// zlib, fetched as Debian ships it, configured, compiled and tested on a Debian root file system.
#[test]
fn a_real_c_library_builds_and_passes_its_tests() {
    let lab = Lab::new();
    let cache = std::env::var_os("C_LIBRARY_CACHE").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("c-library"),
        PathBuf::from,
    );
    let run = || {
        let mut command = Command::new(repository().join("examples/c-library/run"));
        command
            .args(["--format", "json"])
            .env("HM", env!("CARGO_BIN_EXE_hm"))
            .env("HM_STORE__DIR", lab.store())
            .env("C_LIBRARY_CACHE", &cache);
        let output = command.output().unwrap();
        // What apt and mmdebstrap print comes before the events.
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let events = stdout
            .lines()
            .filter(|line| line.starts_with('{'))
            .collect::<Vec<_>>()
            .join("\n");
        Run::of(&std::process::Output {
            stdout: events.into_bytes(),
            ..output
        })
    };
    let first = run().passed();
    assert!(
        first.stdout("test").iter().any(|line| line.contains("zlib test OK")),
        "{first:#?}"
    );
    assert!(first.stdout("install").contains(&"/tmp/zlib/lib/libz.a"), "{first:#?}");
    let again = run().passed();
    assert_eq!(
        (again.status("configure"), again.status("static-library")),
        ("cached", "cached")
    );
}

/// The project is its own first user: formatting, lints and a part of the tests.
#[test]
fn this_repository_passes_its_own_pipeline() {
    let lab = Lab::new();
    let home = std::env::var_os("HOME").unwrap();
    let mut command = lab.hm();
    command
        .args(["run", "ci", "--format", "json", "--dir"])
        .arg(repository())
        .env("HOME", home);
    for name in ["CARGO_HOME", "RUSTUP_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let run = Run::of(&command.output().unwrap()).passed();
    for key in ["format", "lint", "test"] {
        assert_eq!(run.status(key), "passed", "{run:#?}");
    }
}
