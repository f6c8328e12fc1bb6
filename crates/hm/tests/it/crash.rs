//! `kill -9` at any moment: nothing stays behind, and the store answers correctly.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Groups, Ir, Lab, Run, is_running};

const ROUNDS: u64 = 20;

/// A build with everything in it: cached and uncached steps, forks, output, background processes.
fn build(round: u64, marker: &str) -> Ir {
    let noisy = format!("sleep {marker} & seq 1 2000; echo {round} > /made; mkdir -p /deep/er; chmod 000 /deep/er");
    let mut ir = Ir::new()
        .step("root", "echo base > /base")
        .forever()
        .step("loud", &noisy)
        .builds_in("root")
        .forever();
    for number in 0..6 {
        let key = format!("fork-{number}");
        ir = ir
            .step(&key, &format!("cat /base /made; echo {number} > /mine; sleep 0.01"))
            .builds_in("loud")
            .with("resources", json!({ "cpus": 1.5, "memory_mib": 64, "pids": 64 }));
        if number % 2 == 0 {
            ir = ir.forever();
        }
        ir = ir
            .step(&format!("leaf-{number}"), "cat /mine; rm -r /deep")
            .builds_in(&key);
    }
    ir
}

#[test]
fn twenty_kills_leave_nothing_behind() {
    let lab = Lab::new();
    let groups = Groups::new();
    lab.write("src/file", "content");
    // Unlike any other process's argument, so that what is left of a build can be told from the rest of the machine.
    let marker = format!("8{:07}", std::process::id());
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ u64::from(std::process::id());
    // How long the whole build takes here, so that the moments lie inside of it on a slow machine and on a fast one.
    let start = Instant::now();
    lab.run(&build(ROUNDS, &marker)).passed();
    let whole = u64::try_from(start.elapsed().as_micros()).unwrap();
    for round in 0..ROUNDS {
        // Nobody reads, and the pipe is smaller than the output: the process can't end by itself.
        let mut child = in_groups(groups.as_ref(), lab.run_command(&build(round, &marker)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moment is what is random here; whatever was going on then must not matter.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_micros((state >> 33) % whole));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
        assert_store_is_clean_after_next_start(&lab, &marker, groups.as_ref());
    }
    let full = lab.run(&build(99, &marker)).passed();
    for number in 0..6 {
        assert_eq!(full.stdout(&format!("fork-{number}")), ["base", "99"]);
        assert_eq!(full.stdout(&format!("leaf-{number}")), [number.to_string()]);
    }
    let again = lab.run(&build(99, &marker)).passed();
    assert_eq!(
        (again.status("root"), again.status("loud"), again.status("fork-0")),
        ("cached", "cached", "cached")
    );
    assert_eq!(again.stdout("loud").len(), 2000);
}

fn in_groups(groups: Option<&Groups>, command: Command) -> Command {
    match groups {
        Some(groups) => groups.enter(&command),
        None => command,
    }
}

fn assert_store_is_clean_after_next_start(lab: &Lab, marker: &str, groups: Option<&Groups>) {
    let next = in_groups(groups, lab.run_command(&Ir::new().step("s", "true"))).output();
    let next = Run::of(&next.unwrap());
    assert_eq!(next.code, Some(0), "{next:#?}");
    assert!(!is_running(&format!("sleep\u{0}{marker}\u{0}")), "no process is left");
    let store = lab.store();
    assert_no_mounts_below(&store);
    if let Some(groups) = groups {
        wait_until_no_groups(groups);
    }
    assert_eq!(entries(&store.join("live")), Vec::<String>::new(), "no lease is left");
}

/// In no process's mount namespace: a step's mounts are in none but its own.
fn assert_no_mounts_below(folder: &Path) {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    for process in processes {
        // Processes that end meanwhile have no mounts any more.
        let table = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
        let below: Vec<&str> = table
            .lines()
            .filter(|line| line.contains(folder.to_str().unwrap()))
            .collect();
        assert!(below.is_empty(), "{}: {below:#?}", process.path().display());
    }
}

/// The launcher of a build that was killed may still be at it.
fn wait_until_no_groups(groups: &Groups) {
    let begun = Instant::now();
    while !groups.made().is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", groups.made());
        thread::sleep(Duration::from_millis(5));
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
