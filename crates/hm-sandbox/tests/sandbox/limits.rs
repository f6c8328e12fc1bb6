//! Steps that may use so much and no more. Where this host's control groups can't be had the tests of them pass without a
//! look; the tests as an ordinary user run either way.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hm_sandbox::{ExitStatus, Launcher, LimitedBy, Limits, SandboxError, SpawnRequest};
use libtest_mimic::Trial;

use crate::life::{pidfd, wait_for_end};
use crate::support::{Bench, Done, launcher, root_test, run, run_with, start_until_ready_with};

const MIB: u64 = 1 << 20;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("limits::memory_that_runs_out_is_told", memory),
        root_test("limits::processes_are_counted", pids),
        root_test("limits::processors_are_shared_out", cpus),
        root_test("limits::no_group_is_made_without_need", no_need),
        root_test("limits::groups_go_with_their_steps", removal),
        root_test("limits::what_a_killed_launcher_left_is_swept", sweep),
        root_test("limits::groups_of_others_stay", others),
        root_test("limits::what_groups_count_is_told", usage),
        root_test("limits::nonsense_is_refused", nonsense),
        root_test("limits::names_of_groups_are_hidden", names),
    ]
}

/// Where no control group can be made: the memory of each process, and the processes of all steps together.
pub(crate) async fn of_processes() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let means = launcher.confinement().limits;
    if [means.cpus, means.memory, means.pids] != [LimitedBy::Process; 3] {
        return;
    }
    let done = run_with(&launcher, &bench.machine(), &hold(4), limit(memory_limit(256))).await;
    assert_eq!(done.out(), "held\n");
    let done = run_with(&launcher, &bench.machine(), &hold(100), limit(memory_limit(16))).await;
    let report = done.result.unwrap();
    assert!(
        report.status != ExitStatus::Code(0) && !report.out_of_memory,
        "{report:?}"
    );
    let few = limit(Limits {
        pids: Some(4),
        ..Limits::default()
    });
    let done = run_with(&launcher, &bench.machine(), MANY, few).await;
    assert!(done.stdout.is_empty() && done.stderr.contains("fork"), "{done:?}");
    let one = limit(Limits {
        cpus: Some(0.5),
        ..Limits::default()
    });
    assert_eq!(run_with(&launcher, &bench.machine(), "nproc", one).await.out(), "1\n");
    launcher.close().await.unwrap();
}

/// Starts eight processes.
const MANY: &str = "for n in 1 2 3 4 5 6 7 8; do sleep 100 & done; echo all";

fn limit(limits: Limits) -> impl FnOnce(&mut SpawnRequest) {
    move |request| request.limits = limits
}

fn memory_limit(mib: u64) -> Limits {
    Limits {
        memory_bytes: Some(mib * MIB),
        ..Limits::default()
    }
}

fn has_groups(launcher: &Launcher) -> bool {
    let means = launcher.confinement().limits;
    let is_group = |by| matches!(by, LimitedBy::ControlGroup1 | LimitedBy::ControlGroup2);
    [means.cpus, means.memory, means.pids].into_iter().all(is_group)
}

/// Groups of ours anywhere in the hierarchies.
fn groups() -> Vec<PathBuf> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with("hm-") {
                    into.push(entry.path());
                }
                walk(&entry.path(), into);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &mut found);
    found
}

/// Those of one launcher.
async fn groups_of(launcher: &Launcher) -> usize {
    let prefix = format!("hm-{}-", launcher.pid().await.unwrap());
    let names = groups()
        .into_iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    names.filter(|name| name.starts_with(&prefix)).count()
}

/// Has so many MiB in memory.
fn hold(mib: u64) -> String {
    format!("dd if=/dev/zero of=/dev/null bs={mib}M count=1 2>/dev/null && echo held")
}

pub(crate) async fn memory() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    if !has_groups(&launcher) {
        return;
    }
    let done = run_with(&launcher, &bench.machine(), &hold(4), limit(memory_limit(256))).await;
    let report = *done.result.as_ref().unwrap();
    assert!(!report.out_of_memory);
    assert!(report.usage.max_rss_bytes >= 4 * MIB, "{report:?}");
    assert_eq!(done.out(), "held\n");
    let done = run_with(&launcher, &bench.machine(), &hold(100), limit(memory_limit(16))).await;
    let report = done.result.unwrap();
    assert!(report.out_of_memory, "{report:?}");
    assert_ne!(report.status, ExitStatus::Code(0));
    assert!(report.usage.max_rss_bytes < 32 * MIB, "{report:?}");
    // A command that copes with it.
    let command = format!("({}) || echo coped", hold(100));
    let done = run_with(&launcher, &bench.machine(), &command, limit(memory_limit(16))).await;
    assert!(done.result.as_ref().unwrap().out_of_memory);
    assert!(done.stdout.ends_with("coped\n"), "{}", done.stdout);
    // A file system in memory counts.
    let fill = "dd if=/dev/zero of=/dev/shm/big bs=1M count=200 2>/dev/null";
    let done = run_with(&launcher, &bench.machine(), fill, limit(memory_limit(16))).await;
    assert!(done.result.unwrap().out_of_memory);
    launcher.close().await.unwrap();
}

pub(crate) async fn pids() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    if !has_groups(&launcher) {
        return;
    }
    let few = |pids| Limits {
        pids: Some(pids),
        ..Limits::default()
    };
    let done = run_with(&launcher, &bench.machine(), MANY, limit(few(20))).await;
    assert!(!done.result.as_ref().unwrap().out_of_pids);
    assert_eq!(done.out(), "all\n");
    let Done { result, stdout, stderr } = run_with(&launcher, &bench.machine(), MANY, limit(few(4))).await;
    assert!(stdout.is_empty() && stderr.contains("fork"), "{stdout} {stderr}");
    assert!(result.unwrap().out_of_pids);
    // More than the kernel has: no limit.
    let done = run_with(&launcher, &bench.machine(), MANY, limit(few(u64::MAX))).await;
    assert_eq!(done.out(), "all\n");
    launcher.close().await.unwrap();
}

pub(crate) async fn cpus() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    if !has_groups(&launcher) {
        return;
    }
    let tenth = Limits {
        cpus: Some(0.1),
        ..Limits::default()
    };
    // A tenth of a processor makes any work take ten times as long; a machine that is busy only longer.
    let begun = std::time::Instant::now();
    let command = "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done";
    let done = run_with(&launcher, &bench.machine(), command, limit(tenth)).await;
    let used = done.result.unwrap().usage.cpu;
    assert!(begun.elapsed() >= used * 5, "{used:?} in {:?}", begun.elapsed());
    launcher.close().await.unwrap();
}

async fn no_need() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let (_running, _output) = start_until_ready_with(&launcher, &machine, "echo ready; sleep 1000", |_| {}).await;
    assert_eq!(groups_of(&launcher).await, 0);
    launcher.close().await.unwrap();
}

pub(crate) async fn removal() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    if !has_groups(&launcher) {
        return;
    }
    let limits = Limits {
        cpus: Some(1.0),
        ..memory_limit(64)
    };
    for command in ["true", "false", "sleep 1000 & true"] {
        let _ended = run_with(&launcher, &bench.machine(), command, limit(limits))
            .await
            .code();
    }
    let failed = run_with(&launcher, &bench.machine_on(&["none".into()]), "true", limit(limits)).await;
    assert!(failed.result.is_err());
    assert_eq!(groups_of(&launcher).await, 0);
    let machine = bench.machine();
    let waiting = "echo ready; sleep 1000 & sleep 1000";
    let (mut killed, _output) = start_until_ready_with(&launcher, &machine, waiting, limit(limits)).await;
    assert_ne!(groups_of(&launcher).await, 0);
    killed.kill().await.unwrap();
    killed.wait().await.unwrap();
    assert_eq!(groups_of(&launcher).await, 0);
    let machine = bench.machine();
    let (running, _output) = start_until_ready_with(&launcher, &machine, waiting, limit(limits)).await;
    assert_ne!(groups_of(&launcher).await, 0);
    let prefix = format!("hm-{}-", launcher.pid().await.unwrap());
    launcher.close().await.unwrap();
    let left: Vec<_> = groups()
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(&prefix))
        .collect();
    assert_eq!(left, [] as [PathBuf; 0]);
    drop(running);
}

async fn sweep() {
    let bench = Bench::new();
    let killed = launcher().await;
    if !has_groups(&killed) {
        return;
    }
    let machine = bench.machine();
    let (mut running, _output) =
        start_until_ready_with(&killed, &machine, "echo ready; sleep 1000", limit(memory_limit(64))).await;
    let pid = i32::try_from(killed.pid().await.unwrap()).unwrap();
    let inits: Vec<_> = crate::life::children_of(pid).into_iter().map(pidfd).collect();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    for init in &inits {
        wait_for_end(init);
    }
    assert!(matches!(running.wait().await, Err(SandboxError::LauncherGone)));
    killed.close().await.unwrap();
    let of_killed = || {
        groups()
            .iter()
            .filter(|path| path.to_string_lossy().contains(&format!("hm-{pid}-")))
            .count()
    };
    assert_ne!(of_killed(), 0, "nobody was there to remove it");
    let next = launcher().await;
    assert_eq!(of_killed(), 0);
    next.close().await.unwrap();
}

async fn others() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    if !has_groups(&launcher) {
        return;
    }
    let machine = bench.machine();
    let (_running, _output) =
        start_until_ready_with(&launcher, &machine, "echo ready; sleep 1000", limit(memory_limit(64))).await;
    let before = groups_of(&launcher).await;
    assert_ne!(before, 0);
    let machine = bench.machine();
    let other = crate::support::launcher().await;
    run_with(&other, &machine, "true", limit(memory_limit(64))).await.out();
    other.close().await.unwrap();
    assert_eq!(groups_of(&launcher).await, before);
    launcher.close().await.unwrap();
}

/// A step of many processes, each of which is small.
async fn usage() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    if !has_groups(&launcher) {
        return;
    }
    // What writes waits for its reader, who has seen that it is full.
    let hold = "dd if=/dev/zero bs=6M count=1 2>/dev/null | (head -c 1 > /dev/null; echo > /tmp/$n; sleep 1000)";
    let command = format!(
        "rm -f /tmp/*; for n in 1 2 3 4; do ({hold}) & done; until [ -e /tmp/1 -a -e /tmp/2 -a -e /tmp/3 -a -e /tmp/4 ]; \
         do sleep 0.01; done"
    );
    let usage = |limits| {
        let (launcher, machine, command) = (launcher.clone(), bench.machine(), command.clone());
        async move {
            run_with(&launcher, &machine, &command, limit(limits))
                .await
                .result
                .unwrap()
                .usage
        }
    };
    let of_all = usage(memory_limit(512)).await;
    assert!(of_all.max_rss_bytes >= 24 * MIB, "{of_all:?}");
    assert!(of_all.cpu > Duration::ZERO, "{of_all:?}");
    let of_one = usage(Limits::default()).await;
    assert!(of_one.max_rss_bytes < of_all.max_rss_bytes, "{of_one:?} {of_all:?}");
    // One limit is enough for all to be counted.
    let pids = Limits {
        pids: Some(64),
        ..Limits::default()
    };
    assert!(usage(pids).await.max_rss_bytes >= 24 * MIB);
    launcher.close().await.unwrap();
}

async fn nonsense() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    for limits in [
        Limits {
            cpus: Some(0.0),
            ..Limits::default()
        },
        Limits {
            cpus: Some(f64::NAN),
            ..Limits::default()
        },
        Limits {
            pids: Some(0),
            ..Limits::default()
        },
        memory_limit(0),
    ] {
        let refused = run_with(&launcher, &bench.machine(), "true", limit(limits)).await;
        assert!(matches!(refused.result, Err(SandboxError::InvalidRequest { .. })));
    }
    run(&launcher, &bench.machine(), "true").await.out();
    launcher.close().await.unwrap();
}

/// A step sees no group of the host: what it is told begins at the launcher's.
async fn names() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let command = "readlink /proc/self/ns/cgroup; cut -d: -f3 /proc/self/cgroup | sort -u";
    let free = run(&launcher, &bench.machine(), command).await.out();
    let of_host = fs::read_link("/proc/self/ns/cgroup").unwrap();
    let lines: Vec<&str> = free.lines().collect();
    assert!(
        lines.len() == 2 && lines[1] == "/" && lines[0] != of_host.to_str().unwrap(),
        "{free}"
    );
    let limited = run_with(&launcher, &bench.machine(), command, limit(memory_limit(256)))
        .await
        .out();
    for name in limited.lines().skip(1) {
        assert!(
            name == "/" || name.trim_start_matches("/..").starts_with("/hm-"),
            "{limited}"
        );
    }
    launcher.close().await.unwrap();
}
