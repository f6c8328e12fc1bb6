//! Running the interpreter: its report from one pipe, what user code prints from the other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes of printed text kept for the error message of an interpreter that fails.
const KEPT: usize = 4096;
/// How long to wait for more printed text before asking whether the interpreter has ended.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// What an interpreter left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) report: Vec<u8>,
    /// The end of what was printed.
    pub(crate) printed: Vec<u8>,
}

/// Starts `program`; it sees `env` and nothing else of the environment.
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
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Reads until the interpreter has ended, and forwards what it prints to `output` as it comes.
pub(crate) fn wait(mut child: Child, output: &mut dyn Write) -> io::Result<Ended> {
    let read = read_all(&mut child, output);
    if read.is_err() {
        // It may already have ended; waiting below tells.
        drop(child.kill());
    }
    let status = child.wait()?;
    let (report, printed) = read?;
    Ok(Ended {
        status,
        report,
        printed,
    })
}

fn read_all(child: &mut Child, output: &mut dyn Write) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut pipes = Pipes {
        report: child.stdout.take(),
        printed: child.stderr.take(),
        report_bytes: Vec::new(),
        kept: Vec::new(),
        output,
    };
    while pipes.report.is_some() {
        pipes.turn(None)?;
    }
    // A process that user code left behind may hold the other pipe open, so its end is not awaited.
    while pipes.printed.is_some() {
        if !pipes.turn(Some(&PATIENCE))? && child.try_wait()?.is_some() {
            while pipes.turn(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {}
            break;
        }
    }
    Ok((pipes.report_bytes, pipes.kept))
}

struct Pipes<'a> {
    report: Option<ChildStdout>,
    printed: Option<ChildStderr>,
    report_bytes: Vec<u8>,
    kept: Vec<u8>,
    output: &'a mut dyn Write,
}

impl Pipes<'_> {
    /// Waits for bytes in either pipe and takes them; false when none came in time.
    fn turn(&mut self, timeout: Option<&Timespec>) -> io::Result<bool> {
        let (report, printed) = self.ready(timeout)?;
        if report {
            self.take_report()?;
        }
        if printed {
            self.take_printed()?;
        }
        Ok(report || printed)
    }

    fn ready(&self, timeout: Option<&Timespec>) -> io::Result<(bool, bool)> {
        let report = self.report.as_ref().map(AsFd::as_fd);
        let printed = self.printed.as_ref().map(AsFd::as_fd);
        let mut waited: Vec<PollFd<'_>> = report.into_iter().chain(printed).map(readable).collect();
        loop {
            match poll(&mut waited, timeout) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut fired = waited.iter().map(|entry| !entry.revents().is_empty());
        let report = report.is_some() && fired.next().unwrap_or(false);
        let printed = printed.is_some() && fired.next().unwrap_or(false);
        Ok((report, printed))
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
