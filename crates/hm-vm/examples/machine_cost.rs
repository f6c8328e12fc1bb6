//! What a `true` step costs through a backend: `cargo run --release -p hm-vm --example machine_cost [STORE_FOLDER]`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program, not a part of the engine"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hm_plugin_protocol::{SnapshotRef, Stream};
use hm_store::{Store, StoreSettings, SystemClock};
use hm_vm::{
    ExecRequest, MachineRequest, MemoryBackend, OutputSink, SandboxBackend, SandboxSettings, StopToken, Vm, VmBackend,
};

#[derive(Debug)]
struct NoOutput;

impl OutputSink for NoOutput {
    fn write(&self, _stream: Stream, _bytes: &[u8]) {}
}

fn main() {
    hm_sandbox::run_launcher_if_requested();
    tokio::runtime::Runtime::new().unwrap().block_on(measure_all());
}

async fn measure_all() {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = given.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
    let settings = StoreSettings {
        root: folder.path().join("store"),
        clock: Arc::new(SystemClock),
    };
    let store = Store::open(settings).unwrap();
    measure(Arc::new(MemoryBackend::new())).await;
    let settings = SandboxSettings::new(store.clone());
    measure(Arc::new(SandboxBackend::new(settings))).await;
    store.close().unwrap();
}

async fn measure(backend: Arc<dyn VmBackend>) {
    println!("{}", backend.name());
    let begun = Instant::now();
    let image = backend.resolve_image("host").await.unwrap();
    println!("  resolve host           {:>9.3} ms", ms(begun.elapsed()));
    let request = MachineRequest::default();
    let begun = Instant::now();
    run(backend.create(&image, &request).await.unwrap(), false).await;
    println!("  first machine          {:>9.3} ms", ms(begun.elapsed()));
    let mut lone = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        run(backend.create(&image, &request).await.unwrap(), false).await;
        lone.push(begun.elapsed());
    }
    lone.sort_unstable();
    println!(
        "  lone step, median      {:>9.3} ms   p90 {:.3}",
        ms(lone[100]),
        ms(lone[180])
    );
    for length in [20_u32, 100] {
        let mut chains = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            let mut snapshots: Vec<SnapshotRef> = Vec::new();
            for _ in 0..length {
                let machine = match snapshots.last() {
                    None => backend.create(&image, &request).await,
                    Some(parent) => backend.restore(parent, &request).await,
                };
                snapshots.extend(run(machine.unwrap(), true).await);
            }
            chains.push(begun.elapsed());
            for snapshot in snapshots {
                backend.release(&snapshot).await.unwrap();
            }
        }
        chains.sort_unstable();
        println!(
            "  chain of {length:>3}, a step   {:>9.3} ms   (median of 5 chains)",
            ms(chains[2] / length)
        );
    }
    backend.close().await.unwrap();
}

async fn run(mut machine: Box<dyn Vm>, keep: bool) -> Option<SnapshotRef> {
    let request = ExecRequest {
        cmd: "true".into(),
        env: BTreeMap::new(),
        workdir: None,
        stop: StopToken::new(),
        grace: Duration::from_secs(10),
        sink: Arc::new(NoOutput),
    };
    let ended = machine.exec(request).await.unwrap();
    assert_eq!(ended.exit, 0);
    let snapshot = if keep {
        Some(machine.snapshot().await.unwrap())
    } else {
        None
    };
    machine.close().await.unwrap();
    snapshot
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
