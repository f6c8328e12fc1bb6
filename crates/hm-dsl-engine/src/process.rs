//! Running an interpreter: its report from one pipe, what user code prints from the other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Bytes of printed text kept for the error message of an interpreter that fails.
const KEPT: usize = 4096;
/// Reads of each pipe after the end of the interpreter: more than a pipe holds, and an end to one that somebody else
/// keeps filling.
const LAST_TURNS: usize = 64;
const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What an interpreter left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) report: Vec<u8>,
    /// The end of what was printed.
    pub(crate) printed: Vec<u8>,
    /// It was ended because its time was over.
    pub(crate) late: bool,
}

/// How long an interpreter may go without a line of its report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until the first line.
    pub(crate) start: Duration,
    /// From each line to the next, or to its end.
    pub(crate) line: Duration,
}

/// Starts `program`; it sees `env` and nothing else of the environment. Its stdin is a pipe that ends when this process
/// does, or when the interpreter is given up.
pub(crate) fn start(
    program: &Path,
    arguments: &[OsString],
    folder: &Path,
    env: &BTreeMap<String, String>,
) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Reads until the interpreter has ended, and ends one that is late. Whole lines of the report go to `line`, what the
/// interpreter prints to `output`, both as they come.
pub(crate) fn wait(
    mut child: Child,
    patience: Patience,
    line: &mut dyn FnMut(&[u8]),
    output: &mut dyn Write,
) -> io::Result<Ended> {
    // Waiting for a child closes its stdin first, which would be the end of one that has a lifeline.
    let lifeline = child.stdin.take();
    let read = read_all(&mut child, patience, line, output);
    if !matches!(&read, Ok(read) if !read.late) {
        // The lifeline ends the interpreter where it is a child of the program that was started.
        drop(lifeline);
        // The program may already have ended; waiting below tells.
        drop(child.kill());
    }
    let status = child.wait()?;
    let Heard { report, printed, late } = read?;
    Ok(Ended {
        status,
        report,
        printed,
        late,
    })
}

struct Heard {
    report: Vec<u8>,
    printed: Vec<u8>,
    late: bool,
}

fn read_all(
    child: &mut Child,
    patience: Patience,
    line: &mut dyn FnMut(&[u8]),
    output: &mut dyn Write,
) -> io::Result<Heard> {
    let mut pipes = Pipes {
        report: child.stdout.take(),
        printed: child.stderr.take(),
        process: Some(handle(child)?),
        report_bytes: Vec::new(),
        kept: Vec::new(),
        output,
    };
    let mut deadline = after(patience.start);
    let mut late = false;
    let mut lines = 0;
    // A process that user code left behind may hold a pipe open, so the end of the pipes is not awaited.
    while pipes.process.is_some() && !late {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let known = pipes.report_bytes.len();
        late = !pipes.turn(left.and_then(|left| Timespec::try_from(left).ok()).as_ref())?;
        while let Some(end) = newline(&pipes.report_bytes, known.max(lines)) {
            line(pipes.report_bytes.get(lines..end).unwrap_or_default());
            lines = end + 1;
            deadline = after(patience.line);
        }
    }
    for _ in 0..LAST_TURNS {
        if !pipes.turn(Some(&NO_TIME))? {
            break;
        }
    }
    Ok(Heard {
        report: pipes.report_bytes,
        printed: pipes.kept,
        late,
    })
}

/// Where the first line at or after `from` ends.
fn newline(bytes: &[u8], from: usize) -> Option<usize> {
    let found = bytes.get(from..)?.iter().position(|byte| *byte == b'\n')?;
    Some(from + found)
}

/// A handle that tells when the process ends.
fn handle(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// The end of `time` from here; none when it lies beyond what can be counted.
fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

struct Pipes<'a> {
    report: Option<ChildStdout>,
    printed: Option<ChildStderr>,
    process: Option<OwnedFd>,
    report_bytes: Vec<u8>,
    kept: Vec<u8>,
    output: &'a mut dyn Write,
}

impl Pipes<'_> {
    /// Waits until something happens, and takes what has come; false when nothing happened in time.
    fn turn(&mut self, timeout: Option<&Timespec>) -> io::Result<bool> {
        let [report, printed, process] = self.ready(timeout)?;
        if report {
            self.take_report()?;
        }
        if printed {
            self.take_printed()?;
        }
        if process {
            self.process = None;
        }
        Ok(report || printed || process)
    }

    fn ready(&self, timeout: Option<&Timespec>) -> io::Result<[bool; 3]> {
        let sources = [
            self.report.as_ref().map(AsFd::as_fd),
            self.printed.as_ref().map(AsFd::as_fd),
            self.process.as_ref().map(AsFd::as_fd),
        ];
        let mut waited: Vec<PollFd<'_>> = sources.into_iter().flatten().map(readable).collect();
        loop {
            match poll(&mut waited, timeout) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut fired = waited.iter().map(|entry| !entry.revents().is_empty());
        Ok(sources.map(|source| source.is_some() && fired.next().unwrap_or(false)))
    }

    fn take_report(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let Some(pipe) = &mut self.report else { return Ok(()) };
        match pipe.read(&mut chunk)? {
            0 => self.report = None,
            count => self
                .report_bytes
                .extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
        Ok(())
    }

    fn take_printed(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let Some(pipe) = &mut self.printed else { return Ok(()) };
        let count = pipe.read(&mut chunk)?;
        if count == 0 {
            self.printed = None;
            return Ok(());
        }
        let bytes = chunk.get(..count).unwrap_or_default();
        self.output.write_all(bytes)?;
        self.kept.extend_from_slice(bytes);
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
        Ok(())
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}
