//! What becomes of Python and Node when the program that evaluates is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hm_dsl_engine::{EvalSettings, discover, evaluate};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::support::Project;

/// The project that [`evaluates_until_it_is_killed`] takes.
const ROOT: &str = "HM_TEST_LIFELINE_ROOT";
/// It never gives another thread of Python a turn after it has told its number.
const PYTHON: &str =
    "import os\nwith open('number', 'w') as pipe: pipe.write(str(os.getpid()))\nsum(range(10 ** 13))\n";
/// The same for Node.
const NODE: &str =
    "import { writeFileSync } from 'node:fs';\nwriteFileSync('number', String(process.pid));\nfor (;;);\n";

#[test]
fn python_ends_with_the_program_that_started_it() {
    ends_with_its_parent(&Project::new(&[("pipeline.py", PYTHON)]));
}

#[test]
fn node_ends_with_the_program_that_started_it() {
    ends_with_its_parent(&Project::new(&[("pipeline.ts", NODE)]));
}

fn ends_with_its_parent(project: &Project) {
    let pipe = project.root().join("number");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifeline::evaluates_until_it_is_killed"])
        .env(ROOT, project.root())
        .env("HM_TS_RUNTIME", "node")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let number: i32 = fs::read_to_string(&pipe).unwrap().parse().unwrap();
    let evaluating = pidfd_open(Pid::from_raw(number).unwrap(), PidfdFlags::empty()).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let mut waited = [PollFd::new(&evaluating, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(poll(&mut waited, Some(&timeout)).unwrap(), 1, "it is still there");
}

/// Not a test of its own: the parent in the test above, which gives it a project.
#[test]
fn evaluates_until_it_is_killed() {
    let Some(root) = std::env::vars_os().find(|(name, _)| name == ROOT) else {
        return;
    };
    let root = PathBuf::from(root.1);
    let dir = discover(&root).unwrap().unwrap();
    let env = std::env::vars().filter(|(name, _)| name != ROOT).collect();
    let cache = root.parent().unwrap_or(Path::new("/")).join("cache");
    drop(evaluate(&dir, &EvalSettings::new(env, cache), &mut Vec::new()));
}
