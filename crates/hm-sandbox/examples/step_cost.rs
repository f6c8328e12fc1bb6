//! The cost of a step, to be compared with `benches/floor.c`.
//!
//! `step_cost ROOTFS FOLDER STEPS PARALLEL [chain] [none] [limits]`: an image folder, a folder for writable layers (what is
//! made in it is removed), how many steps of `sh -c true`, how many at once, whether each boots from what the one before
//! left, whether they have no network, and whether they are limited in everything.
#![expect(clippy::print_stdout, reason = "it reports to who runs it")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hm_sandbox::{Launcher, LauncherSettings, Limits, Network, RootFs, SpawnRequest};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone)]
struct Options {
    image: PathBuf,
    folder: PathBuf,
    steps: usize,
    parallel: usize,
    chain: bool,
    network: Network,
    limits: Limits,
}

const LIMITS: Limits = Limits {
    cpus: Some(1.0),
    memory_bytes: Some(1 << 30),
    pids: Some(1000),
};

fn main() -> Result<()> {
    hm_sandbox::run_launcher_if_requested();
    let options = options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(measure(options))
}

fn options() -> Result<Options> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, folder, steps, parallel, flags @ ..] = arguments.as_slice() else {
        return Err("usage: step_cost ROOTFS FOLDER STEPS PARALLEL [chain] [none] [limits]".into());
    };
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    fs::create_dir_all(folder)?;
    Ok(Options {
        image: fs::canonicalize(image)?,
        folder: fs::canonicalize(folder)?,
        steps: steps.parse()?,
        parallel: if has("chain") { 1 } else { parallel.parse()? },
        chain: has("chain"),
        network: if has("none") { Network::None } else { Network::Host },
        limits: if has("limits") { LIMITS } else { Limits::default() },
    })
}

async fn measure(options: Options) -> Result<()> {
    let begin = Instant::now();
    let launcher = Launcher::start(LauncherSettings::default()).await?;
    let started = begin.elapsed();
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..options.steps {
        if running.len() >= options.parallel {
            running.join_next().await.ok_or("a step is missing")???;
        }
        running.spawn(step(launcher.clone(), options.clone(), number));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let elapsed = begin.elapsed();
    let steps = u32::try_from(options.steps)?;
    println!(
        "{:.3} ms/step (steps={steps} parallel={} chain={} network={:?} limits={}; launcher {:.3} ms)",
        elapsed.as_secs_f64() * 1e3 / f64::from(steps),
        options.parallel,
        options.chain,
        options.network,
        !options.limits.is_empty(),
        started.as_secs_f64() * 1e3,
    );
    launcher.close().await?;
    for number in 0..options.steps {
        let layer = options.folder.join(format!("l{number}"));
        if options.chain {
            fs::remove_dir_all(layer)?;
        }
    }
    Ok(())
}

async fn step(launcher: Launcher, options: Options, number: usize) -> Result<()> {
    let machine = options.folder.join(format!("s{number}"));
    let part = |name: &str| machine.join(name);
    for folder in [machine.clone(), part("u"), part("w"), part("m")] {
        fs::create_dir(folder)?;
    }
    let layers = if options.chain { number } else { 0 };
    let mut lower: Vec<PathBuf> = (0..layers)
        .rev()
        .map(|layer| PathBuf::from(format!("l{layer}")))
        .collect();
    lower.push(options.image);
    let null = || fs::File::options().read(true).write(true).open("/dev/null");
    let request = SpawnRequest {
        rootfs: RootFs {
            lower,
            lower_base: options.folder.clone(),
            host_root: false,
            upper: part("u"),
            work: part("w"),
            merged: part("m"),
        },
        argv: ["sh", "-c", "true"].map(Into::into).to_vec(),
        env: vec![(
            "PATH".into(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        )],
        cwd: "/".into(),
        uid: 0,
        gid: 0,
        groups: vec![],
        hostname: "machine".into(),
        network: options.network,
        stdout: null()?.into(),
        stderr: null()?.into(),
        stdin: None,
        binds: vec![],
        limits: options.limits,
    };
    let report = launcher.spawn(request).await?.wait().await?;
    if !report.status.success() {
        return Err(format!("step {number}: {:?}", report.status).into());
    }
    clean_up(
        &machine,
        options
            .chain
            .then(|| options.folder.join(format!("l{number}")))
            .as_deref(),
    )
}

fn clean_up(machine: &Path, layer: Option<&Path>) -> Result<()> {
    fs::remove_file(machine.join("w/work/incompat/volatile/dirty"))?;
    for folder in ["w/work/incompat/volatile", "w/work/incompat", "w/work", "w", "m"] {
        fs::remove_dir(machine.join(folder))?;
    }
    match layer {
        Some(layer) => fs::rename(machine.join("u"), layer)?,
        None => fs::remove_dir_all(machine.join("u"))?,
    }
    Ok(fs::remove_dir(machine)?)
}
