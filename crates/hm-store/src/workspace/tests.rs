//! Whole captures, on real folders.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use tempfile::TempDir;

use super::capture::Capture;
use super::*;
use crate::{Clock, Store, StoreSettings};

/// Every look at it is a second later.
#[derive(Debug, Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }
}

struct Bench {
    base: TempDir,
    clock: Arc<Ticks>,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("tree")).unwrap();
        let clock = Arc::new(Ticks::default());
        let store = open(base.path(), &clock);
        Self { base, clock, store }
    }

    fn another_store(&self) -> Store {
        open(self.base.path(), &self.clock)
    }

    fn root(&self) -> PathBuf {
        self.base.path().join("tree")
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn request(&self) -> CaptureRequest {
        CaptureRequest::new(self.root())
    }

    fn capture(&self) -> Workspace {
        self.store.capture(&self.request()).unwrap()
    }

    fn names(&self, request: &CaptureRequest) -> Vec<String> {
        names(&self.store.capture(request).unwrap())
    }
}

fn open(base: &Path, clock: &Arc<Ticks>) -> Store {
    let clock: Arc<dyn Clock> = Arc::<Ticks>::clone(clock);
    Store::open(StoreSettings {
        root: base.join("store"),
        clock,
    })
    .unwrap()
}

fn names(workspace: &Workspace) -> Vec<String> {
    workspace
        .manifest
        .entries()
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
        .collect()
}

fn files(workspace: &Workspace) -> PathBuf {
    workspace.layer.join(WORKSPACE_FOLDER)
}

/// One line an entry, of what is really there.
fn listing(folder: &Path) -> Vec<String> {
    fn add(folder: &Path, prefix: &str, lines: &mut Vec<String>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{prefix}{}", entry.file_name().as_bytes().escape_ascii());
            let data = entry.path().symlink_metadata().unwrap();
            let what = if data.is_symlink() {
                format!("-> {}", fs::read_link(entry.path()).unwrap().display())
            } else if data.is_dir() {
                "dir".to_owned()
            } else {
                format!("{:?}", fs::read_to_string(entry.path()).unwrap())
            };
            lines.push(format!(
                "{name} {:o} {}.{} {what}",
                data.mode() & 0o7777,
                data.mtime(),
                data.mtime_nsec()
            ));
            if data.is_dir() {
                add(&entry.path(), &format!("{name}/"), lines);
            }
        }
    }
    let mut lines = Vec::new();
    add(folder, "", &mut lines);
    lines
}

fn set_mtime(path: &Path, seconds: u64, nanos: u32) {
    let time = UNIX_EPOCH + Duration::new(seconds, nanos);
    fs::File::open(path)
        .unwrap()
        .set_times(fs::FileTimes::new().set_modified(time))
        .unwrap();
}

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
    let workspace = Capture::begin(&bench.store, &bench.request(), &edit)
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
    let error = Capture::begin(&bench.store, &bench.request(), &edit)
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
    let capture = Capture::begin(&bench.store, &bench.request(), &|_| {}).unwrap();
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
    let workspace = Capture::begin(&bench.store, &bench.request(), &edit)
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
    bench.write("f", "one");
    let first = bench.capture();
    bench.write("f", "two");
    bench.capture();
    bench
        .store
        .index()
        .write(|change| {
            change.execute(
                "INSERT INTO snapshots (id, kind, image, tree, boot) VALUES ('x', 'step', 'i', ?1, 'b')",
                [first.tree.to_hex()],
            )
        })
        .unwrap();
    bench.store.clone().close().unwrap();
    assert!(first.layer.exists());
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
