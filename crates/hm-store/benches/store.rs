//! Prints what the store's hot paths cost on this machine. Run with `cargo bench -p hm-store --bench store`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people, which may panic"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, BuildStatus, RunId, StepId, StepStatus, Stream};
use hm_store::{
    BuildMeta, CacheKey, DigestAlgorithm, ImageDigest, Journal, NewCacheEntry, NewSnapshot, SnapshotBase, SnapshotKind,
    Store, StoreSettings, SystemClock,
};
use jiff::Timestamp;
use uuid::Uuid;

fn main() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path();
    println!("{:<58} {:>12}", "what", "each");
    opening(root);
    let store = open(root);
    snapshots(&store);
    cache(&store);
    events(&store, 100_000);
    output(&store, 5_000_000);
    replay(&store);
    store.close().unwrap();
}

fn open(root: &Path) -> Store {
    Store::open(StoreSettings {
        root: root.to_path_buf(),
        clock: Arc::new(SystemClock),
    })
    .unwrap()
}

fn each(what: &str, count: u32, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("{what:<58} {:>12.2?}", start.elapsed() / count);
}

fn opening(root: &Path) {
    open(root).close().unwrap();
    each("open and close the store", 100, || {
        for _ in 0..100 {
            open(root).close().unwrap();
        }
    });
}

fn snapshots(store: &Store) {
    const COUNT: u32 = 1000;
    let image = || SnapshotBase::Image {
        digest: ImageDigest::new(DigestAlgorithm::Sha256, [1; 32]),
        image_layers: vec![PathBuf::from("/")],
        tree: None,
    };
    each("make a scratch machine and close it", COUNT, || {
        for _ in 0..COUNT {
            store.scratch().unwrap().close().unwrap();
        }
    });
    let mut made = Vec::new();
    each("make a scratch machine and its snapshot", COUNT, || {
        for _ in 0..COUNT {
            let scratch = store.scratch().unwrap();
            let new = NewSnapshot {
                base: image(),
                kind: SnapshotKind::Step,
            };
            made.push(store.snapshots().commit(scratch, new).unwrap());
        }
    });
    each("release a snapshot", COUNT, || {
        for snapshot in &made {
            store.snapshots().release(snapshot).unwrap();
        }
    });
}

fn cache(store: &Store) {
    const COUNT: u32 = 1000;
    let log = store.temporary();
    fs::write(&log, "log").unwrap();
    let keys: Vec<CacheKey> = (0..COUNT).map(|n| blake3::hash(&n.to_le_bytes()).into()).collect();
    let mut slowest = Duration::ZERO;
    each("commit a cache entry with its snapshot", COUNT, || {
        for key in &keys {
            let base = SnapshotBase::Image {
                digest: ImageDigest::new(DigestAlgorithm::Sha256, [1; 32]),
                image_layers: vec![PathBuf::from("/")],
                tree: None,
            };
            let new = NewSnapshot {
                base,
                kind: SnapshotKind::Step,
            };
            let snapshot = store.snapshots().commit(store.scratch().unwrap(), new).unwrap();
            let start = Instant::now();
            let entry = NewCacheEntry {
                key: *key,
                snapshot: Some(snapshot),
                state: None,
                log: Some(&log),
                duration: Duration::from_secs(1),
                run_id: RunId(Uuid::from_u128(1)),
                step_key: "step".to_owned(),
                parts: serde_json::json!({ "cmd": "make -j4 all", "env": { "PATH": "/usr/bin:/bin" } }),
            };
            store.cache().commit(&entry).unwrap();
            slowest = slowest.max(start.elapsed());
        }
    });
    println!("{:<58} {slowest:>12.2?}", "  the slowest entry alone");
    each("look a cache entry up", COUNT, || {
        for key in &keys {
            assert!(store.cache().lookup(key).unwrap().is_some());
        }
    });
    each("lock a cache key and let go", COUNT, || {
        for key in &keys {
            drop(store.cache().try_lock(key).unwrap().unwrap());
        }
    });
    each("make durable", 1, || store.make_durable().unwrap());
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

fn step_events(step: u32) -> [BuildEvent; 3] {
    let step_id = StepId(Uuid::from_u128(u128::from(step)));
    [
        BuildEvent::StepQueued {
            step_id,
            key: format!("step-{step}"),
            chain_idx: step,
            parent_key: None,
            display_name: "cargo test --workspace --all-features".to_owned(),
        },
        BuildEvent::StepStart {
            step_id,
            runner: "vm".to_owned(),
            image: Some("host".to_owned()),
        },
        BuildEvent::StepEnd {
            step_id,
            exit_code: 0,
            duration_ms: 12,
            snapshot: None,
            status: StepStatus::Passed,
            causes: Vec::new(),
            fixes: Vec::new(),
        },
    ]
}

fn build_end() -> BuildEvent {
    BuildEvent::BuildEnd {
        exit_code: 0,
        duration_ms: 1,
        status: BuildStatus::Passed,
    }
}

fn events(store: &Store, steps: u32) {
    let all: Vec<_> = (0..steps).flat_map(step_events).collect();
    for (what, reading) in [
        ("append an event, nobody reads", false),
        ("append an event, a reader waits for each", true),
    ] {
        let journal = journal(store);
        let reader = reading.then(|| {
            let mut reader = journal.reader().unwrap();
            std::thread::spawn(move || while reader.next_batch_blocking(1000).unwrap().is_some() {})
        });
        each(what, steps * 3, || {
            for event in &all {
                journal.append(event).unwrap();
            }
        });
        journal.append(&build_end()).unwrap();
        if let Some(reader) = reader {
            reader.join().unwrap();
        }
        if !reading {
            let mut reader = journal.reader().unwrap();
            each("read an event", steps * 3, || {
                while reader.next_batch_blocking(1000).unwrap().is_some() {}
            });
        }
    }
}

fn output(store: &Store, lines: u32) {
    let journal = journal(store);
    let mut reader = journal.reader().unwrap();
    let line = b"[ 42%] Building C object src/CMakeFiles/lib.dir/file.c.o\n";
    let text: Vec<u8> = line.iter().copied().cycle().take(line.len() * 100_000).collect();
    let step_id = StepId(Uuid::from_u128(1));
    let before = resident_kib();
    each(
        "append a line of output in 64 KiB chunks, the reader sleeps",
        lines,
        || {
            for _ in 0..lines / 100_000 {
                for chunk in text.chunks(65_536) {
                    journal
                        .append_output(StepIndex::new(0), step_id, Stream::Stdout, Timestamp::UNIX_EPOCH, chunk)
                        .unwrap();
                }
            }
            journal.finish_output(StepIndex::new(0)).unwrap();
            journal.append(&build_end()).unwrap();
        },
    );
    let mut read = 0;
    each("read a line of output", lines, || {
        while let Some(batch) = reader.next_batch_blocking(1000).unwrap() {
            read += batch.len();
        }
    });
    assert_eq!(read, lines as usize + 1);
    println!(
        "{:<58} {:>8} KiB",
        "  memory that this took at most",
        resident_kib() - before
    );
}

fn replay(store: &Store) {
    const COUNT: u32 = 1000;
    let first = journal(store);
    let step_id = StepId(Uuid::from_u128(1));
    let append = |bytes: &[u8]| {
        first
            .append_output(StepIndex::new(0), step_id, Stream::Stdout, Timestamp::UNIX_EPOCH, bytes)
            .unwrap();
    };
    append(b"a line\n");
    first.finish_output(StepIndex::new(0)).unwrap();
    let log = first.log_path(StepIndex::new(0)).unwrap();
    let second = journal(store);
    each("replay a cached log", COUNT, || {
        for step in 0..COUNT {
            second.replay_log(StepIndex::new(step), step_id, &log).unwrap();
        }
    });
}

/// Greatest resident set of this process so far.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
