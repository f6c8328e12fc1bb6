//! Who dies with whom.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use hm_sandbox::{RootFs, SandboxError};
use libtest_mimic::Trial;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::support::{Bench, launcher, read_all, request, root_test, run, start_until_ready};

const VICTIM: &str = "--victim";

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        root_test("life::nothing_is_left_of_a_killed_parent", killed_parent),
        root_test(
            "life::nothing_is_left_of_a_parent_killed_while_it_starts_steps",
            killed_while_starting,
        ),
        root_test("life::steps_die_with_a_killed_launcher", killed_launcher),
        root_test("life::close_ends_steps_and_is_awaited", close),
        root_test("life::no_zombie_stays_in_the_launcher", zombies),
        root_test("life::the_launcher_is_in_its_own_session", session),
        root_test("life::a_launcher_outlives_terminate", terminate_launcher),
    ]
}

/// Called by `main`: a program that starts steps until it is killed. Its arguments are the folders of a machine to use,
/// and for how many steps; the last one does not end by itself.
pub(crate) fn run_victim_if_requested() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != VICTIM {
        return None;
    }
    let base = PathBuf::from(arguments.next()?);
    let machines: usize = arguments.next()?.to_str()?.parse().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let launcher = launcher().await;
        let stdout = || -> OwnedFd { std::io::stdout().as_fd().try_clone_to_owned().unwrap() };
        println!("{}", launcher.pid().await.unwrap());
        let mut steps = Vec::new();
        for number in 0..machines {
            let folder = |name: &str| base.join(format!("m{number}/{name}"));
            let machine = RootFs {
                lower: vec!["image".into()],
                lower_base: base.clone(),
                host_root: false,
                upper: folder("u"),
                work: folder("w"),
                merged: folder("m"),
            };
            let command = "echo ready; trap '' TERM; while :; do sleep 1000; done";
            steps.push(
                launcher
                    .spawn(request(&machine, command, stdout(), stdout()))
                    .await
                    .unwrap(),
            );
        }
        std::future::pending::<()>().await;
    });
    None
}

struct Victim {
    process: std::process::Child,
    output: BufReader<std::process::ChildStdout>,
    launcher: OwnedFd,
    launcher_pid: i32,
}

fn start_victim(bench: &Bench, machines: usize) -> Victim {
    for _ in 0..machines {
        bench.machine();
    }
    let mut process = Command::new(std::env::current_exe().unwrap())
        .arg(VICTIM)
        .arg(bench.path(""))
        .arg(machines.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let launcher_pid = line.trim().parse().unwrap();
    let launcher = pidfd(launcher_pid);
    Victim {
        process,
        output,
        launcher,
        launcher_pid,
    }
}

pub(crate) fn pidfd(pid: i32) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()
}

/// Waits for the end of a process; a minute is the end of the test.
pub(crate) fn wait_for_end(process: &OwnedFd) {
    let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&minute))).unwrap();
    assert_eq!(ended, 1, "it still runs");
}

pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| parent_of(*pid) == Some(parent))
        .collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

fn assert_nothing_is_mounted(bench: &Bench) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(bench.path("").to_str().unwrap()), "{mounts}");
}

async fn killed_parent() {
    let bench = Bench::new();
    let mut victim = start_victim(&bench, 2);
    for _ in 0..2 {
        let mut line = String::new();
        victim.output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }
    let inits: Vec<OwnedFd> = children_of(victim.launcher_pid).into_iter().map(pidfd).collect();
    assert_eq!(inits.len(), 2);
    victim.process.kill().unwrap();
    victim.process.wait().unwrap();
    for process in inits.iter().chain([&victim.launcher]) {
        wait_for_end(process);
    }
    let mut rest = String::new();
    victim.output.read_line(&mut rest).unwrap();
    assert_eq!(rest, "", "no process holds the output");
    assert_nothing_is_mounted(&bench);
}

async fn killed_while_starting() {
    // The parent is killed after it is known that so many of twelve steps run, while others are being started.
    for ready in 0..8 {
        let bench = Bench::new();
        let mut victim = start_victim(&bench, 12);
        for _ in 0..ready {
            victim.output.read_line(&mut String::new()).unwrap();
        }
        victim.process.kill().unwrap();
        victim.process.wait().unwrap();
        wait_for_end(&victim.launcher);
        let lines = victim.output.lines().map_while(Result::ok).count();
        assert!(lines <= 12 - ready, "the output ends");
        assert_nothing_is_mounted(&bench);
    }
}

async fn killed_launcher() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let (mut running, output) = start_until_ready(&launcher, &machine, "echo ready; sleep 1000").await;
    let pid = i32::try_from(launcher.pid().await.unwrap()).unwrap();
    let inits: Vec<OwnedFd> = children_of(pid).into_iter().map(pidfd).collect();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert!(matches!(running.wait().await, Err(SandboxError::LauncherGone)));
    assert!(matches!(
        run(&launcher, &machine, "true").await.result,
        Err(SandboxError::LauncherGone)
    ));
    for init in &inits {
        wait_for_end(init);
    }
    assert_eq!((inits.len(), read_all(output).as_str()), (1, ""));
    launcher.close().await.unwrap();
}

async fn close() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let machine = bench.machine();
    let (mut running, output) = start_until_ready(&launcher, &machine, "trap '' TERM; echo ready; sleep 1000").await;
    launcher.close().await.unwrap();
    assert_eq!(read_all(output), "");
    assert!(matches!(running.wait().await, Err(SandboxError::LauncherGone)));
    assert_eq!(launcher.pid().await, None);
    launcher.close().await.unwrap();
}

async fn zombies() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let pid = i32::try_from(launcher.pid().await.unwrap()).unwrap();
    let descriptors = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = descriptors();
    for _ in 0..5 {
        run(&launcher, &bench.machine(), "true").await.out();
        let failed = run(&launcher, &bench.machine_on(&["none".into()]), "true").await;
        assert!(failed.result.is_err());
    }
    assert_eq!(children_of(pid), []);
    assert_eq!(descriptors(), before, "no descriptor stays open");
}

async fn session() {
    let launcher = launcher().await;
    let pid = Pid::from_raw(i32::try_from(launcher.pid().await.unwrap()).unwrap()).unwrap();
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
    assert_eq!(
        fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap(),
        b""
    );
}

async fn terminate_launcher() {
    let (bench, launcher) = (Bench::new(), launcher().await);
    let pid = Pid::from_raw(i32::try_from(launcher.pid().await.unwrap()).unwrap()).unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(pid, signal).unwrap();
    }
    run(&launcher, &bench.machine(), "true").await.out();
}
