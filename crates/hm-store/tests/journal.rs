//! What goes into a journal comes out: every line, in order, numbered without gaps, now and later.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, BuildStatus, PlanSummary, RunId, SCHEMA_VERSION, Sequenced, StepId, Stream};
use hm_store::{BuildMeta, Journal, JournalError, JournalReader, Store, StoreSettings, SystemClock};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

const LONGEST: usize = 1 << 20;

fn open(root: &Path) -> Store {
    Store::open(StoreSettings {
        root: root.to_path_buf(),
        clock: Arc::new(SystemClock),
    })
    .unwrap()
}

fn meta(id: u128) -> BuildMeta {
    BuildMeta {
        run_id: RunId(Uuid::from_u128(id)),
        source_root: PathBuf::from("/source"),
        slug: Some("ci".to_owned()),
        branch: None,
        message: None,
    }
}

fn step_id(step: u32) -> StepId {
    StepId(Uuid::from_u128(1000 + u128::from(step)))
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn build_start() -> BuildEvent {
    BuildEvent::BuildStart {
        schema_version: SCHEMA_VERSION.to_owned(),
        run_id: RunId(Uuid::from_u128(1)),
        plan: PlanSummary {
            step_count: 1,
            chain_count: 1,
            default_runner: "vm".to_owned(),
        },
        started_at: time(0).to_string(),
    }
}

fn build_end() -> BuildEvent {
    BuildEvent::BuildEnd {
        exit_code: 0,
        duration_ms: 5,
        status: BuildStatus::Passed,
    }
}

fn read_all(mut reader: JournalReader, max: usize) -> (Vec<Sequenced>, bool) {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch_blocking(max).unwrap() {
        assert!(!batch.is_empty() && batch.len() <= max);
        all.extend(batch);
    }
    (all, reader.is_torn())
}

fn append(journal: &Journal, step: u32, stream: Stream, bytes: &[u8]) {
    journal
        .append_output(
            StepIndex::new(step),
            step_id(step),
            stream,
            time(i64::from(step)),
            bytes,
        )
        .unwrap();
}

fn lines_of(events: &[Sequenced]) -> BTreeMap<(StepId, u8), Vec<String>> {
    let mut lines: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for event in events {
        if let BuildEvent::StepLog {
            step_id, stream, line, ..
        } = &event.event
        {
            lines.entry((*step_id, *stream as u8)).or_default().push(line.clone());
        }
    }
    lines
}

/// What the lines of a stream are, told from all of its bytes at once.
fn expected_lines(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pieces: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let unfinished = pieces.pop().unwrap_or_default();
    let mut whole = |mut line: &[u8], ended: bool| {
        while line.len() > LONGEST {
            let (part, rest) = line.split_at(safe_cut(line));
            lines.push(String::from_utf8_lossy(part).into_owned());
            line = rest;
        }
        let line = if ended {
            line.strip_suffix(b"\r").unwrap_or(line)
        } else {
            line
        };
        lines.push(String::from_utf8_lossy(line).into_owned());
    };
    for piece in pieces {
        whole(piece, true);
    }
    if !unfinished.is_empty() {
        whole(unfinished, false);
    }
    lines
}

fn safe_cut(line: &[u8]) -> usize {
    for lead in (LONGEST - 3)..LONGEST {
        let needed = match line[lead] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => continue,
        };
        let followed = line[lead + 1..=LONGEST].iter().all(|byte| byte & 0xc0 == 0x80);
        if followed && lead + needed > LONGEST {
            return lead;
        }
    }
    LONGEST
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Text(&'static str),
    Long { unit: &'static str, times: usize },
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Long { unit, times } => unit.repeat(*times).into_bytes(),
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let units = prop::sample::select(vec!["a", "é", "€", "🦀", "\r"]);
    prop_oneof![
        8 => vec(any::<u8>(), 0..40).prop_map(Piece::Bytes),
        8 => prop::sample::select(vec!["\n", "\r\n", "\r", "line\n", "é", "€", "🦀", "\n\n", ""]).prop_map(Piece::Text),
        1 => (units, 1usize..1_200_000).prop_map(|(unit, times)| Piece::Long { unit, times }),
    ]
}

#[derive(Clone, Debug)]
struct Write {
    step: u32,
    stream: Stream,
    piece: Piece,
    chunk: usize,
    finish: bool,
}

fn write() -> impl Strategy<Value = Write> {
    let stream = prop::sample::select(vec![Stream::Stdout, Stream::Stderr, Stream::Note]);
    (0u32..3, stream, piece(), 1usize..200_000, prop::bool::weighted(0.05)).prop_map(
        |(step, stream, piece, chunk, finish)| Write {
            step,
            stream,
            piece,
            chunk,
            finish,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_out_are_lines_in(writes in vec(write(), 0..40), max in 1usize..300) {
        let base = tempfile::tempdir().unwrap();
        let store = open(base.path());
        let journal = Journal::create(&store, &meta(1)).unwrap();
        let reader = journal.reader().unwrap();
        let live = std::thread::spawn(move || read_all(reader, max));

        // A stream's bytes since the step's output was last finished, and the lines of before.
        let mut open_bytes: BTreeMap<(u32, u8), Vec<u8>> = BTreeMap::new();
        let mut expected: BTreeMap<(StepId, u8), Vec<String>> = BTreeMap::new();
        let mut close = |open_bytes: &mut BTreeMap<(u32, u8), Vec<u8>>, step: u32| {
            journal.finish_output(StepIndex::new(step)).unwrap();
            for stream in 0..3 {
                let lines = expected_lines(&open_bytes.remove(&(step, stream)).unwrap_or_default());
                if !lines.is_empty() {
                    expected.entry((step_id(step), stream)).or_default().extend(lines);
                }
            }
        };
        journal.append(&build_start()).unwrap();
        for Write { step, stream, piece, chunk, finish } in writes {
            let bytes = piece.bytes();
            for chunk in bytes.chunks(chunk) {
                append(&journal, step, stream, chunk);
            }
            open_bytes.entry((step, stream as u8)).or_default().extend(bytes);
            if finish {
                close(&mut open_bytes, step);
            }
        }
        for step in 0..3 {
            close(&mut open_bytes, step);
        }
        journal.append(&build_end()).unwrap();

        let (events, torn) = live.join().unwrap();
        prop_assert!(!torn);
        prop_assert!(events.iter().enumerate().all(|(place, event)| event.seq == place as u64));
        prop_assert_eq!(&events[0].event, &build_start());
        prop_assert_eq!(&events[events.len() - 1].event, &build_end());
        prop_assert!(lines_of(&events) == expected);
        let (again, torn) = read_all(Journal::open_reader(journal.folder()).unwrap(), 7);
        prop_assert!(!torn && again == events);
    }

    #[test]
    fn a_cut_journal_gives_its_prefix(
        lines in vec((0u32..2, "[a-z]{0,30}"), 1..40),
        cut_events in 0.0f64..1.0,
        cut_log in prop::option::of(0.0f64..1.0),
    ) {
        let base = tempfile::tempdir().unwrap();
        let store = open(base.path());
        let journal = Journal::create(&store, &meta(1)).unwrap();
        for (step, line) in &lines {
            journal.append(&build_start()).unwrap();
            append(&journal, *step, Stream::Stdout, format!("{line}\n").as_bytes());
        }
        journal.append(&build_end()).unwrap();
        let folder = journal.folder().to_path_buf();
        drop(journal);
        let (whole, _) = read_all(Journal::open_reader(&folder).unwrap(), 100);
        let cut = |path: &Path, share: f64| {
            let bytes = fs::read(path).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                reason = "any place in the file will do")]
            let length = (bytes.len() as f64 * share) as usize;
            fs::write(path, &bytes[..length]).unwrap();
        };
        cut(&folder.join("events.jsonl"), cut_events);
        if let Some(share) = cut_log && folder.join("steps/0.log").exists() {
            cut(&folder.join("steps/0.log"), share);
        }
        let (prefix, torn) = read_all(Journal::open_reader(&folder).unwrap(), 100);
        prop_assert!(torn);
        prop_assert!(prefix.len() < whole.len() && prefix[..] == whole[..prefix.len()]);
    }
}

#[test]
fn a_cached_log_is_replayed_under_the_new_step() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    let first = Journal::create(&store, &meta(1)).unwrap();
    for chunk in ["one\ntw", "o\n", "three"] {
        append(&first, 0, Stream::Stdout, chunk.as_bytes());
        append(&first, 0, Stream::Stderr, b"oops\n");
    }
    assert!(first.log_path(StepIndex::new(1)).is_none());
    first.finish_output(StepIndex::new(0)).unwrap();
    let log = first.log_path(StepIndex::new(0)).unwrap();

    let second = Journal::create(&store, &meta(2)).unwrap();
    second.replay_log(StepIndex::new(7), step_id(7), &log).unwrap();
    append(&second, 7, Stream::Note, b"afterwards\n");
    second.finish_output(StepIndex::new(7)).unwrap();
    second.append(&build_end()).unwrap();
    let (events, torn) = read_all(second.reader().unwrap(), 2);
    assert!(!torn);
    let lines: Vec<(u64, &str, Stream)> = events
        .iter()
        .filter_map(|event| {
            let BuildEvent::StepLog {
                step_id: id,
                stream,
                line,
                ..
            } = &event.event
            else {
                return None;
            };
            assert_eq!(*id, step_id(7));
            Some((event.seq, line.as_str(), *stream))
        })
        .collect();
    let expected = [
        (0, "oops", Stream::Stderr),
        (1, "one", Stream::Stdout),
        (2, "two", Stream::Stdout),
        (3, "oops", Stream::Stderr),
        (4, "oops", Stream::Stderr),
        (5, "three", Stream::Stdout),
        (6, "afterwards", Stream::Note),
    ];
    let mut sorted = lines.clone();
    sorted.sort_by_key(|line| line.0);
    assert_eq!(lines, sorted);
    assert_eq!(lines.len(), expected.len());
    for (_, line, stream) in expected {
        assert!(lines.iter().any(|found| found.1 == line && found.2 == stream), "{line}");
    }
    // The cached file is as it was: what came later went elsewhere.
    assert_eq!(first.log_path(StepIndex::new(0)).unwrap(), log);
    assert_eq!(
        fs::read(&log).unwrap(),
        fs::read(second.folder().join("steps/7.log")).unwrap()
    );
}

#[test]
fn nothing_comes_after_the_end_and_the_index_knows_it() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    let journal = Journal::create(&store, &meta(5)).unwrap();
    assert_eq!(journal.number(), 1);
    journal.append(&build_end()).unwrap();
    assert!(matches!(journal.append(&build_start()), Err(JournalError::Ended)));
    let output = journal.append_output(StepIndex::new(0), step_id(0), Stream::Stdout, time(0), b"x\n");
    assert!(matches!(output, Err(JournalError::Ended)));
    let record = store.builds().number(1).unwrap().unwrap();
    assert_eq!((record.exit_code, record.status.as_deref()), (Some(0), Some("passed")));
    let prefix: String = Uuid::from_u128(5).to_string().chars().take(8).collect();
    assert_eq!(store.builds().run_id(&prefix).unwrap(), [record]);
    let next = Journal::create(&store, &meta(6)).unwrap();
    assert_eq!(next.number(), 2);
    assert_eq!(
        store
            .builds()
            .newest(9)
            .unwrap()
            .iter()
            .map(|build| build.number)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    let meta: serde_json::Value = serde_json::from_slice(&fs::read(next.folder().join("meta.json")).unwrap()).unwrap();
    assert_eq!(
        (&meta["version"], &meta["number"], &meta["slug"]),
        (&1.into(), &2.into(), &"ci".into())
    );
}

#[test]
fn a_journal_that_is_dropped_ends_its_readers() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    let journal = Journal::create(&store, &meta(1)).unwrap();
    let live = journal.reader().unwrap();
    let reading = std::thread::spawn(move || read_all(live, 10));
    journal.append(&build_start()).unwrap();
    drop(journal);
    let (events, torn) = reading.join().unwrap();
    assert_eq!(events.len(), 1);
    assert!(torn);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_read_while_others_write() {
    let base = tempfile::tempdir().unwrap();
    let store = open(base.path());
    let journal = Journal::create(&store, &meta(1)).unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for max in [1, 50] {
        let mut reader = journal.reader().unwrap();
        readers.spawn(async move {
            let mut next = 0;
            while let Some(batch) = reader.next_batch(max).await.unwrap() {
                for event in batch {
                    assert_eq!(event.seq, next);
                    next += 1;
                }
            }
            next
        });
    }
    let mut writers = tokio::task::JoinSet::new();
    for step in 0..4 {
        let journal = journal.clone();
        writers.spawn(async move {
            for _ in 0..500 {
                append(&journal, step, Stream::Stdout, b"a line\nand another\n");
                journal.append(&build_start()).unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    journal.append(&build_end()).unwrap();
    while let Some(count) = readers.join_next().await {
        assert_eq!(count.unwrap(), 4 * 500 * 3 + 1);
    }
}
