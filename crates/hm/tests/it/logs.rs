//! Output arrives whole, in order, whatever the reader does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Ir, Lab};

const LINES: u32 = 5_000_000;
const MEMORY_LIMIT_KIB: u64 = 100 * 1024;

#[test]
fn five_million_lines_reach_a_reader_that_sleeps() {
    let lab = Lab::new();
    let mut child = lab
        .run_command(&Ir::new().step("loud", &format!("seq 1 {LINES}")))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
    let mut next = 1;
    let mut peak = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 {
        if let Some(found) = loud_line(&line) {
            assert_eq!(found, next, "lines in order");
            // The reader is what sleeps here: the writer must get along with it.
            match next {
                1 => thread::sleep(Duration::from_secs(2)),
                n if n % 250_000 == 0 => {
                    peak = peak.max(peak_memory_kib(child.id()));
                    thread::sleep(Duration::from_millis(50));
                }
                _ => {}
            }
            next += 1;
        }
        line.clear();
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(next, LINES + 1, "every line");
    assert!(peak > 0 && peak < MEMORY_LIMIT_KIB, "peak resident set: {peak} KiB");
}

/// The number that a log line holds. Read by hand: five million documents through a JSON parser would be the test's time.
fn loud_line(event: &str) -> Option<u32> {
    let (_, rest) = event.split_once("\"line\":\"")?;
    let (digits, _) = rest.split_once('"')?;
    Some(digits.parse().expect(event))
}

fn peak_memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn characters_and_lines_split_across_writes_arrive_whole() {
    let lab = Lab::new();
    let run = lab
        .run(&Ir::new().step(
            "split",
            "printf 'caf\\303'; sleep 0.2; printf '\\251 on'; sleep 0.2; printf 'e line\\n'",
        ))
        .passed();
    assert_eq!(run.stdout("split"), ["café one line"]);
}

#[test]
fn a_last_line_without_an_end_and_invalid_bytes_are_kept() {
    let lab = Lab::new();
    let run = lab.run(&Ir::new().step("odd", "printf 'a\\377b\\n\\nlast'")).passed();
    assert_eq!(run.stdout("odd"), ["a\u{fffd}b", "", "last"]);
}

#[test]
fn standard_error_is_a_stream_of_its_own() {
    let lab = Lab::new();
    let run = lab.run(&Ir::new().step("both", "echo out; echo err >&2")).passed();
    let log: Vec<(&str, &str)> = run
        .of_step("both")
        .into_iter()
        .filter(|event| event["kind"] == "step_log")
        .map(|event| (event["stream"].as_str().unwrap(), event["line"].as_str().unwrap()))
        .collect();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(
        log.contains(&("stdout", "out")) && log.contains(&("stderr", "err")),
        "{log:?}"
    );
}

#[test]
fn events_are_numbered_without_gaps_and_logs_lie_inside_their_step() {
    let lab = Lab::new();
    let ir = Ir::new()
        .step("a", "seq 1 1000")
        .step("b", "seq 1 1000")
        .step("c", "echo c")
        .builds_in("a");
    let run = lab.run_with(&ir, &["--parallelism", "4"]).passed();
    for (number, event) in run.events.iter().enumerate() {
        assert_eq!(event["seq"], number, "{event}");
    }
    for key in ["a", "b", "c"] {
        let kinds: Vec<&str> = run
            .of_step(key)
            .into_iter()
            .map(|event| event["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds[..2], ["step_queued", "step_start"], "{key}");
        assert_eq!(kinds[kinds.len() - 1], "step_end", "{key}");
    }
    assert_eq!(run.events[0]["kind"], "build_start");
    assert_eq!(run.events[0]["schema_version"], "1");
}

#[test]
fn a_reader_that_goes_away_does_not_change_the_build() {
    let lab = Lab::new();
    let mut child = lab
        .run_command(
            &Ir::new()
                .step("loud", "seq 1 200000")
                .step("after", "echo done")
                .after("loud"),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["kind"], "build_start");
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_reader_that_can_take_no_more_is_told_of() {
    let lab = Lab::new();
    for (cmd, code) in [("seq 1 10", 4), ("seq 1 10; exit 3", 1)] {
        for format in ["json", "human"] {
            let full = fs::File::options().write(true).open("/dev/full").unwrap();
            // This writes the document.
            drop(lab.run_command(&Ir::new().step("s", cmd)));
            let mut command = lab.hm();
            command
                .args(["run", "--format", format, "--ir"])
                .arg(lab.path("pipeline.json"));
            let output = command.stdout(full).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{stderr}");
            assert!(stderr.contains("error[output_unwritable]"), "{stderr}");
        }
    }
}

#[test]
fn the_log_of_a_cached_step_is_replayed() {
    let lab = Lab::new();
    let ir = Ir::new().step("s", "echo out; echo err >&2; printf tail").forever();
    let first = lab.run(&ir).passed();
    let again = lab.run(&ir).passed();
    assert_eq!(again.status("s"), "cached");
    assert_eq!(again.stdout("s"), first.stdout("s"));
    let kinds: Vec<&str> = again
        .of_step("s")
        .into_iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "step_queued",
            "step_cache_hit",
            "step_log",
            "step_log",
            "step_log",
            "step_end"
        ]
    );
}
