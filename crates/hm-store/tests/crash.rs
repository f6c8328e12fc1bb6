//! Processes that share a store, and processes that are killed while they use it.
//!
//! The test starts itself again: with [`ROOT`] in its environment it is the other process.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, RunId, SnapshotRef, StepId, Stream};
use hm_store::{
    BuildMeta, CacheKey, DigestAlgorithm, ImageDigest, Journal, NewCacheEntry, NewSnapshot, SnapshotBase, SnapshotKind,
    Store, StoreSettings, SystemClock,
};
use jiff::Timestamp;
use uuid::Uuid;

const ROOT: &str = "HM_TEST_STORE";
const KEYS: u32 = 40;

fn open(root: &Path) -> Store {
    Store::open(StoreSettings {
        root: root.join("store"),
        clock: Arc::new(SystemClock),
    })
    .unwrap()
}

fn key(n: u32) -> CacheKey {
    blake3::hash(&n.to_le_bytes()).into()
}

fn base(parent: Option<SnapshotRef>) -> SnapshotBase {
    match parent {
        Some(parent) => SnapshotBase::Snapshot(parent),
        None => SnapshotBase::Image {
            digest: ImageDigest::new(DigestAlgorithm::Sha256, [1; 32]),
            image_layers: vec![PathBuf::from("/")],
            tree: None,
        },
    }
}

/// Does what a step does: writes, becomes a snapshot, logs; gives the snapshot and the log.
fn step(store: &Store, journal: &Journal, n: u32, parent: Option<SnapshotRef>) -> (SnapshotRef, PathBuf) {
    let scratch = store.scratch().unwrap();
    for file in 0..5 {
        fs::create_dir_all(scratch.upper().join(format!("d{file}"))).unwrap();
        fs::write(scratch.upper().join(format!("d{file}/f")), format!("{n}")).unwrap();
    }
    // What overlayfs leaves of a volatile mount.
    fs::create_dir_all(scratch.work().join("work/incompat/volatile")).unwrap();
    fs::write(scratch.work().join("work/incompat/volatile/dirty"), "").unwrap();
    let new = NewSnapshot {
        base: base(parent),
        kind: SnapshotKind::Step,
    };
    let snapshot = store.snapshots().commit(scratch, new).unwrap();
    let at = StepIndex::new(n);
    for line in 0..3 {
        let line = format!("step {n} line {line}\n");
        journal
            .append_output(
                at,
                StepId(Uuid::from_u128(9)),
                Stream::Stdout,
                Timestamp::UNIX_EPOCH,
                line.as_bytes(),
            )
            .unwrap();
    }
    journal.finish_output(at).unwrap();
    (snapshot, journal.log_path(at).unwrap())
}

fn entry(n: u32, snapshot: SnapshotRef, log: &Path) -> NewCacheEntry<'_> {
    NewCacheEntry {
        key: key(n),
        snapshot: Some(snapshot),
        state: None,
        log: Some(log),
        duration: Duration::from_millis(u64::from(n)),
        run_id: RunId(Uuid::from_u128(1)),
        step_key: format!("step-{n}"),
        parts: serde_json::json!({ "n": n }),
    }
}

fn journal(store: &Store) -> Journal {
    let meta = BuildMeta {
        run_id: RunId(Uuid::new_v4()),
        source_root: PathBuf::from("/source"),
        slug: None,
        branch: None,
        message: None,
    };
    Journal::create(store, &meta).unwrap()
}

fn start(test: &str, root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(ROOT, root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn given_root() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The other process of the test below: builds until it is killed.
fn build_until_killed(root: &Path) {
    let store = open(root);
    let journal = journal(&store);
    let mut last = None;
    for n in 0.. {
        let (snapshot, log) = step(&store, &journal, n, last.take());
        if n % 3 == 0 {
            store.cache().commit(&entry(n % KEYS, snapshot.clone(), &log)).unwrap();
        }
        if n % 10 == 5 {
            store.snapshots().flatten(&snapshot, u64::MAX).unwrap();
        }
        let held = store.cache().try_lock(&key(n)).unwrap();
        if n % 7 == 0 {
            store.snapshots().release(&snapshot).unwrap();
        } else {
            last = Some(snapshot);
        }
        drop(held);
        journal
            .append(&BuildEvent::StepStart {
                step_id: StepId(Uuid::nil()),
                runner: "vm".to_owned(),
                image: None,
            })
            .unwrap();
    }
}

/// Everything that must hold after a process was killed, whenever that was.
fn check(root: &Path) -> usize {
    let store = open(root);
    assert!(store.swept().problems.is_empty(), "{:?}", store.swept().problems);
    let layout = store.layout();
    assert_eq!(names(&layout.leases()), BTreeSet::from([store.lease().to_string()]));
    assert_eq!(names(&layout.key_locks()), BTreeSet::new());

    let (layers, logs) = store
        .index()
        .read::<_, rusqlite::Error>(|index| {
            let names = |query| {
                let mut ask = index.prepare(query)?;
                let rows = ask
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<BTreeSet<String>, _>>()?;
                Ok::<_, rusqlite::Error>(rows)
            };
            let layers = names("SELECT id FROM snapshots UNION SELECT flat FROM snapshots WHERE flat IS NOT NULL")?;
            Ok((layers, names("SELECT log FROM cache")?))
        })
        .unwrap();
    assert_eq!(names(&layout.layers()), layers);
    assert_eq!(names(&layout.logs()), logs);

    let mut found = 0;
    let replayed = journal(&store);
    for n in 0..KEYS {
        let Some(entry) = store.cache().lookup(&key(n)).unwrap() else {
            continue;
        };
        found += 1;
        let stack = store.snapshots().stack(&entry.snapshot.unwrap()).unwrap();
        assert!(stack.lower.iter().all(|layer| layer.exists()));
        let layer = &stack.lower[0];
        let texts: BTreeSet<String> = (0..5)
            .map(|file| fs::read_to_string(layer.join(format!("d{file}/f"))).unwrap())
            .collect();
        assert_eq!(texts.len(), 1);
        let made_by: u32 = texts.first().unwrap().parse().unwrap();
        assert_eq!((made_by % KEYS, entry.step_key), (n, format!("step-{n}")));
        replayed
            .replay_log(StepIndex::new(n), StepId(Uuid::nil()), &entry.log.unwrap())
            .unwrap();
    }
    let expected = found * 3;
    let mut reader = replayed.reader().unwrap();
    drop(replayed);
    let mut lines = 0;
    while let Some(batch) = reader.next_batch_blocking(100).unwrap() {
        lines += batch.len();
    }
    assert_eq!(lines, expected);

    for build in names(&layout.builds()) {
        let Ok(mut reader) = Journal::open_reader(&layout.builds().join(build)) else {
            continue;
        };
        let mut next = 0;
        while let Some(batch) = reader.next_batch_blocking(100).unwrap() {
            for event in batch {
                assert_eq!(event.seq, next);
                next += 1;
            }
        }
        assert!(reader.is_torn());
    }
    store.close().unwrap();
    found
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    if let Some(root) = given_root() {
        return build_until_killed(&root);
    }
    let base = tempfile::tempdir().unwrap();
    // A generator (xorshift) of moments.
    let mut dice: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..12 {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let mut child = start("a_killed_process_leaves_nothing_behind", base.path());
        // Some moment, seldom before the beginning: nothing that is checked depends on which.
        std::thread::sleep(Duration::from_micros(20_000 + dice % 150_000));
        child.kill().unwrap();
        child.wait().unwrap();
        check(base.path());
    }
}

/// The other process of the test below: makes every entry that isn't there.
fn fill(root: &Path) {
    let store = open(root);
    let journal = journal(&store);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for n in 0..KEYS {
        let lock = runtime.block_on(store.cache().lock(&key(n))).unwrap();
        if store.cache().lookup(&key(n)).unwrap().is_none() {
            let mut made = File::options()
                .create(true)
                .append(true)
                .open(root.join(format!("made-{n}")))
                .unwrap();
            made.write_all(b"x").unwrap();
            let (snapshot, log) = step(&store, &journal, n, None);
            store.cache().commit(&entry(n, snapshot, &log)).unwrap();
        }
        drop(lock);
    }
    drop(journal);
    store.close().unwrap();
}

#[test]
fn processes_that_share_a_store_do_each_step_once() {
    if let Some(root) = given_root() {
        return fill(&root);
    }
    let base = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> = (0..3)
        .map(|_| start("processes_that_share_a_store_do_each_step_once", base.path()))
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    for n in 0..KEYS {
        assert_eq!(fs::read_to_string(base.path().join(format!("made-{n}"))).unwrap(), "x");
    }
    assert_eq!(check(base.path()), KEYS as usize);
}
