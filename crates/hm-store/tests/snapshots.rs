//! Snapshots as stacks of layers, checked against what overlayfs itself shows.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt::Write;
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hm_plugin_protocol::SnapshotRef;
use hm_store::{
    ContentHash, DigestAlgorithm, ImageDigest, NewSnapshot, Scratch, SnapshotBase, SnapshotError, SnapshotKind, Store,
    StoreSettings, SystemClock, TreeId,
};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use rustix::mount::{MountFlags, UnmountFlags};

fn open(root: &Path) -> Store {
    Store::open(StoreSettings {
        root: root.to_path_buf(),
        clock: Arc::new(SystemClock),
    })
    .unwrap()
}

fn image(layer: &Path) -> SnapshotBase {
    let digest = ImageDigest::new(DigestAlgorithm::Sha256, [7; 32]);
    SnapshotBase::Image {
        digest,
        image_layers: vec![layer.to_path_buf()],
        tree: None,
    }
}

fn on(snapshot: &SnapshotRef) -> SnapshotBase {
    SnapshotBase::Snapshot(snapshot.clone())
}

fn commit(store: &Store, scratch: Scratch, base: SnapshotBase) -> SnapshotRef {
    store
        .snapshots()
        .commit(
            scratch,
            NewSnapshot {
                base,
                kind: SnapshotKind::Step,
            },
        )
        .unwrap()
}

fn commit_with(store: &Store, base: SnapshotBase, fill: impl FnOnce(&Path)) -> SnapshotRef {
    let scratch = store.scratch().unwrap();
    fill(&scratch.upper());
    commit(store, scratch, base)
}

fn layers(store: &Store) -> usize {
    store.settle().unwrap();
    fs::read_dir(store.layout().layers()).unwrap().count()
}

#[test]
fn a_layer_stays_while_something_stands_on_it() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    let image_layer = PathBuf::from("/image");
    let tree = TreeId::new([1; 32]);
    let newer = TreeId::new([2; 32]);
    let SnapshotBase::Image {
        digest, image_layers, ..
    } = image(&image_layer)
    else {
        unreachable!()
    };
    let root = SnapshotBase::Image {
        digest,
        image_layers,
        tree: Some(tree),
    };
    let first = commit_with(&store, root, |upper| fs::write(upper.join("a"), "1").unwrap());
    let scratch = store.scratch().unwrap();
    let kind = SnapshotKind::WorkspaceDelta { tree: newer };
    let delta = store
        .snapshots()
        .commit(scratch, NewSnapshot { base: on(&first), kind })
        .unwrap();
    let second = commit_with(&store, on(&delta), |upper| fs::write(upper.join("b"), "2").unwrap());

    let stack = store.snapshots().stack(&second).unwrap();
    let layout = store.layout();
    let layer = |snapshot: &SnapshotRef| layout.layer(&snapshot.0.parse().unwrap());
    let expected = vec![
        layer(&second),
        layer(&delta),
        layer(&first),
        layout.workspace_layer(&tree),
        image_layer.clone(),
    ];
    assert_eq!(
        (stack.lower, stack.depth, stack.tree, stack.image),
        (expected, 3, Some(newer), digest)
    );
    assert_eq!(store.snapshots().stack(&first).unwrap().tree, Some(tree));

    let snapshots = store.snapshots();
    snapshots.release(&first).unwrap();
    snapshots.release(&delta).unwrap();
    assert_eq!(layers(&store), 3);
    assert_eq!(fs::read_to_string(layer(&first).join("a")).unwrap(), "1");
    snapshots.release(&second).unwrap();
    assert_eq!(layers(&store), 0);
    assert!(matches!(snapshots.stack(&second), Err(SnapshotError::Unknown(_))));
    snapshots.release(&second).unwrap();

    commit_with(&store, image(&image_layer), |_| {});
    let lease = layout.lease(store.lease());
    store.clone().close().unwrap();
    assert_eq!(layers(&store), 0);
    assert!(!lease.exists());
}

fn content(store: &Store, fill: impl Fn(&Path)) -> ContentHash {
    let snapshot = commit_with(store, image(Path::new("/image")), |upper| {
        fs::create_dir(upper.join("d")).unwrap();
        fs::write(upper.join("d/file"), "content").unwrap();
        fs::set_permissions(upper.join("d/file"), Permissions::from_mode(0o644)).unwrap();
        symlink("target", upper.join("link")).unwrap();
        fill(upper);
    });
    store.snapshots().content_hash(&snapshot).unwrap()
}

type Change<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);

#[test]
fn the_content_hash_tells_all_but_times() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    let plain = content(&store, |_| {});
    assert_eq!(content(&store, |_| {}), plain);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let aged = content(&store, |upper| {
        for path in ["d/file", "d", "."] {
            fs::File::open(upper.join(path))
                .unwrap()
                .set_times(FileTimes::new().set_modified(old))
                .unwrap();
        }
    });
    assert_eq!(aged, plain);

    let marks = store.xattrs();
    let whiteout = |path: PathBuf| {
        rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    };
    let mut changes: Vec<Change<'_>> = vec![
        (
            "name",
            Box::new(|upper| fs::rename(upper.join("d/file"), upper.join("d/other")).unwrap()),
        ),
        (
            "place",
            Box::new(|upper| fs::rename(upper.join("d/file"), upper.join("file")).unwrap()),
        ),
        (
            "content",
            Box::new(|upper| fs::write(upper.join("d/file"), "c0ntent").unwrap()),
        ),
        (
            "mode",
            Box::new(|upper| fs::set_permissions(upper.join("d/file"), Permissions::from_mode(0o755)).unwrap()),
        ),
        (
            "folder's mode",
            Box::new(|upper| fs::set_permissions(upper.join("d"), Permissions::from_mode(0o700)).unwrap()),
        ),
        (
            "root's mode",
            Box::new(|upper| fs::set_permissions(upper, Permissions::from_mode(0o700)).unwrap()),
        ),
        (
            "empty folder",
            Box::new(|upper| fs::create_dir(upper.join("e")).unwrap()),
        ),
        (
            "target",
            Box::new(|upper| {
                fs::remove_file(upper.join("link")).unwrap();
                symlink("elsewhere", upper.join("link")).unwrap();
            }),
        ),
        (
            "type",
            Box::new(|upper| {
                fs::remove_file(upper.join("link")).unwrap();
                fs::write(upper.join("link"), "target").unwrap();
            }),
        ),
        ("whiteout", Box::new(move |upper| whiteout(upper.join("gone")))),
    ];
    let opaque = move |upper: &Path| {
        rustix::fs::setxattr(upper.join("d"), marks.opaque(), b"y", XattrFlags::empty()).unwrap();
    };
    changes.push(("opaque", Box::new(opaque)));
    if rustix::process::geteuid().is_root() {
        changes.push((
            "owner",
            Box::new(|upper| std::os::unix::fs::chown(upper.join("d/file"), Some(5), None).unwrap()),
        ));
        changes.push((
            "group",
            Box::new(|upper| std::os::unix::fs::chown(upper.join("d/file"), None, Some(5)).unwrap()),
        ));
        changes.push((
            "origin, which means nothing",
            Box::new(|upper| {
                rustix::fs::setxattr(upper.join("d"), "trusted.overlay.origin", b"x", XattrFlags::empty()).unwrap();
            }),
        ));
    }
    let mut seen = BTreeMap::from([(plain.to_hex(), "plain")]);
    for (what, change) in changes {
        let hash = content(&store, change).to_hex();
        let earlier = seen.insert(hash, what);
        let expected = what.contains("nothing").then_some("plain");
        assert_eq!(earlier, expected, "{what}");
    }
}

#[test]
fn the_content_hash_is_of_image_and_steps_but_not_of_deltas() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    let snapshots = store.snapshots();
    let fill = |text: &'static str| move |upper: &Path| fs::write(upper.join("f"), text).unwrap();
    let first = commit_with(&store, image(Path::new("/image")), fill("1"));
    let direct = commit_with(&store, on(&first), fill("2"));
    let scratch = store.scratch().unwrap();
    fs::write(scratch.upper().join("changed"), "x").unwrap();
    let kind = SnapshotKind::WorkspaceDelta {
        tree: TreeId::new([3; 32]),
    };
    let delta = snapshots
        .commit(scratch, NewSnapshot { base: on(&first), kind })
        .unwrap();
    let over_delta = commit_with(&store, on(&delta), fill("2"));
    let hash = |snapshot: &SnapshotRef| snapshots.content_hash(snapshot).unwrap();
    assert_eq!(hash(&direct), hash(&over_delta));
    assert_eq!(hash(&first), hash(&delta));
    assert_ne!(hash(&first), hash(&direct));
    let swapped = commit_with(&store, image(Path::new("/image")), fill("2"));
    assert_ne!(hash(&commit_with(&store, on(&swapped), fill("1"))), hash(&direct));
    let digest = ImageDigest::new(DigestAlgorithm::Sha256, [8; 32]);
    let other = SnapshotBase::Image {
        digest,
        image_layers: vec![],
        tree: None,
    };
    assert_ne!(hash(&commit_with(&store, other, fill("1"))), hash(&first));
}

/// An overlay mount that ends with the value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(target: PathBuf, lower: &[PathBuf], writable: Option<&Scratch>) -> Self {
        let lower: Vec<&str> = lower.iter().map(|path| path.to_str().unwrap()).collect();
        let mut options = format!("lowerdir={},redirect_dir=off,metacopy=off", lower.join(":"));
        if let Some(scratch) = writable {
            let (upper, work) = (scratch.upper(), scratch.work());
            write!(
                options,
                ",upperdir={},workdir={},volatile",
                upper.display(),
                work.display()
            )
            .unwrap();
        }
        let options = CString::new(options).unwrap();
        rustix::mount::mount("overlay", &target, "overlay", MountFlags::empty(), options.as_c_str()).unwrap();
        Self(target)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).ok();
    }
}

type Picture = BTreeMap<PathBuf, String>;

fn picture(root: &Path) -> Picture {
    let mut picture = Picture::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "folder".to_owned()
        } else if kind.is_symlink() {
            format!("link {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_file() {
            format!(
                "file {:?} {:?}",
                fs::read_to_string(&path).unwrap(),
                metadata.mtime_nsec()
            )
        } else {
            assert!(kind.is_fifo(), "{}", path.display());
            "fifo".to_owned()
        };
        let properties = format!("{what} {:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid());
        picture.insert(path.strip_prefix(root).unwrap().to_path_buf(), properties);
    }
    picture
}

/// A small generator (xorshift), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// Changes something somewhere in the mounted tree; what can't be done isn't.
fn change(root: &Path, dice: &mut Dice) {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let path = |dice: &mut Dice| {
        let depth = 1 + dice.roll(3);
        (0..depth).fold(root.to_path_buf(), |path, _| path.join(NAMES[dice.roll(NAMES.len())]))
    };
    let at = path(dice);
    let remove = |path: &Path| {
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).ok();
        }
    };
    match dice.roll(9) {
        0 | 1 => drop(fs::write(&at, format!("{}", dice.roll(1000)))),
        2 => drop(fs::create_dir_all(&at)),
        3 => remove(&at),
        4 => {
            remove(&at);
            fs::write(&at, "was something else").ok();
        }
        5 => {
            remove(&at);
            fs::create_dir_all(&at).ok();
        }
        6 => {
            remove(&at);
            symlink(format!("to-{}", dice.roll(10)), &at).ok();
        }
        7 => {
            let to = path(dice);
            fs::rename(&at, &to).ok();
        }
        _ => {
            if fs::symlink_metadata(&at).is_ok_and(|metadata| !metadata.is_symlink()) {
                fs::set_permissions(
                    &at,
                    Permissions::from_mode(0o700 + u32::try_from(dice.roll(64)).unwrap()),
                )
                .unwrap();
                std::os::unix::fs::chown(&at, Some(u32::try_from(dice.roll(3)).unwrap()), None).unwrap();
            }
        }
    }
}

#[test]
fn merged_files_have_the_names_that_they_have_in_their_layer() {
    let base = tempfile::tempdir().unwrap();
    let store = open(&base.path().join("s"));
    let old = SystemTime::UNIX_EPOCH + Duration::new(7, 7);
    let below = commit_with(&store, image(base.path()), |upper| {
        for name in ["single", "twin", "hidden"] {
            fs::write(upper.join(name), name).unwrap();
        }
        fs::set_permissions(upper.join("single"), Permissions::from_mode(0o4711)).unwrap();
        fs::File::open(upper.join("single"))
            .unwrap()
            .set_times(FileTimes::new().set_modified(old))
            .unwrap();
        fs::hard_link(upper.join("twin"), upper.join("other")).unwrap();
        symlink("single", upper.join("link")).unwrap();
    });
    let top = commit_with(&store, on(&below), |upper| {
        fs::write(upper.join("hidden"), "above").unwrap();
    });
    let before = store.snapshots().stack(&below).unwrap().lower[0].clone();

    store.snapshots().flatten(&top, 1).unwrap();
    assert_eq!(
        store.snapshots().stack(&top).unwrap().depth,
        2,
        "more than may be copied"
    );
    store.snapshots().flatten(&top, u64::MAX).unwrap();
    let stack = store.snapshots().stack(&top).unwrap();
    assert_eq!(stack.depth, 1);
    let stat = |folder: &Path, name: &str| fs::symlink_metadata(folder.join(name)).unwrap();
    for folder in [&before, &stack.lower[0]] {
        let links = ["single", "hidden", "link", "twin", "other"].map(|name| stat(folder, name).nlink());
        assert_eq!(links, [1, 1, 1, 2, 2], "{}", folder.display());
        assert_eq!(stat(folder, "twin").ino(), stat(folder, "other").ino());
    }
    let merged = stat(&stack.lower[0], "single");
    assert_eq!(merged.mode() & 0o7777, 0o4711);
    assert_eq!(merged.modified().unwrap(), old);
    assert_eq!(stat(&stack.lower[0], "link").mtime(), stat(&before, "link").mtime());
    assert_eq!(fs::read_to_string(stack.lower[0].join("twin")).unwrap(), "twin");
    assert_eq!(fs::read_to_string(stack.lower[0].join("hidden")).unwrap(), "above");
}

#[test]
fn a_flattened_stack_shows_what_the_stack_showed() {
    if !rustix::process::geteuid().is_root() {
        // Only root can mount an overlay outside a user namespace.
        return;
    }
    for seed in 1..=25 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let base = tempfile::tempdir().unwrap();
        let store = open(&base.path().join("s"));
        let image_layer = base.path().join("image");
        fs::create_dir_all(image_layer.join("a/b/c")).unwrap();
        fs::create_dir_all(image_layer.join("b/a")).unwrap();
        for file in ["a/a", "a/b/a", "a/b/c/a", "b/a/b", "c"] {
            fs::write(image_layer.join(file), file).unwrap();
        }
        let view = base.path().join("view");
        fs::create_dir(&view).unwrap();
        let mut top = image(&image_layer);
        let mut lower = vec![image_layer.clone()];
        for round in 0..3 {
            let mut snapshot = None;
            for _ in 0..=dice.roll(5) {
                let scratch = store.scratch().unwrap();
                let mounted = Mounted::new(scratch.merged(), &lower, Some(&scratch));
                for _ in 0..=dice.roll(20) {
                    change(&mounted.0, &mut dice);
                }
                drop(mounted);
                let made = commit(&store, scratch, top);
                lower = store.snapshots().stack(&made).unwrap().lower;
                top = on(&made);
                snapshot = Some(made);
            }
            let snapshot = snapshot.unwrap();
            let before = {
                let mounted = Mounted::new(view.clone(), &lower, Some(&store.scratch().unwrap()));
                picture(&mounted.0)
            };
            let hash = store.snapshots().content_hash(&snapshot).unwrap();
            store.snapshots().flatten(&snapshot, u64::MAX).unwrap();
            let stack = store.snapshots().stack(&snapshot).unwrap();
            assert_eq!((stack.depth, stack.lower.len()), (1, 2));
            lower = stack.lower;
            let after = {
                let mounted = Mounted::new(view.clone(), &lower, Some(&store.scratch().unwrap()));
                picture(&mounted.0)
            };
            assert_eq!(after, before, "seed {seed}, round {round}");
            assert_eq!(store.snapshots().content_hash(&snapshot).unwrap(), hash);
        }
        store.close().unwrap();
    }
}
