//! What it costs to capture a working tree: `cargo bench -p hm-store --bench capture`.
//!
//! `HM_BENCH_TREE` is the tree, `HM_BENCH_DIR` a folder on the file system to measure. Prints a line for each case:
//! `WHAT: N ms`.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(
    clippy::unwrap_used,
    reason = "a bench stops at the first thing that is not as it should be"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a bench has no caller that could hand it its settings"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hm_store::{CaptureRequest, Store, StoreSettings, SystemClock};

const ROUNDS: usize = 5;

fn main() {
    let tree = PathBuf::from(std::env::var("HM_BENCH_TREE").expect("HM_BENCH_TREE names the tree"));
    let folder = std::env::var("HM_BENCH_DIR").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
    let (mut first, mut again): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| round(&tree, &folder)).unzip();
    println!("first: {:.1} ms", median(&mut first));
    println!("unchanged: {:.1} ms", median(&mut again));
}

/// Captures the tree twice into a store of its own.
fn round(tree: &Path, folder: &Path) -> (Duration, Duration) {
    let place = tempfile::tempdir_in(folder).unwrap();
    let root = place.path().join("store");
    let store = Store::open(StoreSettings {
        root,
        clock: Arc::new(SystemClock),
    })
    .unwrap();
    let request = CaptureRequest::new(tree);
    let capture = || {
        let start = Instant::now();
        let reused = store.capture(&request).unwrap().reused;
        (start.elapsed(), reused)
    };
    let (first, again) = (capture(), capture());
    assert_eq!((first.1, again.1), (false, true));
    store.clone().close().unwrap();
    (first.0, again.0)
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
