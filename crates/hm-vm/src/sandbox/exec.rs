//! One command from its start to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hm_sandbox::{ExitReport, Running, SandboxError, Stage};
use tokio::time::Instant;

use super::output::{self, Reader};
use crate::machine::{ExecOutcome, Network, OutputSink, StopToken, Usage, VmError};
use crate::stopping::{Stopping, Told, next_stop};

/// Sees to a command that was started: hands on its output, stops it when told to, and waits for its end.
#[derive(Debug)]
pub(super) struct Attendance<'a> {
    pub(super) running: &'a mut Running,
    pub(super) out: Reader,
    pub(super) err: Reader,
    pub(super) sink: &'a dyn OutputSink,
    pub(super) stop: &'a StopToken,
    pub(super) grace: Duration,
}

impl Attendance<'_> {
    pub(super) async fn see_to_end(mut self) -> Result<ExecOutcome, VmError> {
        let mut buffer = output::buffer();
        let report = self.attend(&mut buffer).await?;
        self.out.finish(&mut buffer, self.sink).await.map_err(failed)?;
        self.err.finish(&mut buffer, self.sink).await.map_err(failed)?;
        let usage = Usage {
            cpu: report.usage.cpu,
            max_rss_bytes: report.usage.max_rss_bytes,
            read_bytes: report.usage.read_bytes,
            write_bytes: report.usage.write_bytes,
        };
        Ok(ExecOutcome {
            exit: report.status.code(),
            stopped: self.stop.is_stopped(),
            out_of_memory: report.out_of_memory,
            out_of_pids: report.out_of_pids,
            usage: Some(usage),
        })
    }

    async fn attend(&mut self, buffer: &mut [u8]) -> Result<ExitReport, VmError> {
        let control = self.running.control();
        let mut stopping = Stopping::Not;
        loop {
            let told = tokio::select! {
                report = self.running.wait() => return report.map_err(end_error),
                ready = self.out.ready() => {
                    ready.map_err(failed)?;
                    self.out.read(buffer, self.sink).map_err(failed)?;
                    continue;
                }
                ready = self.err.ready() => {
                    ready.map_err(failed)?;
                    self.err.read(buffer, self.sink).map_err(failed)?;
                    continue;
                }
                told = next_stop(self.stop, stopping) => told,
            };
            stopping = match told {
                Told::Terminate => {
                    control.terminate().await.map_err(end_error)?;
                    Stopping::Grace {
                        until: Instant::now() + self.grace,
                    }
                }
                Told::Kill => {
                    control.kill().await.map_err(end_error)?;
                    Stopping::Killed
                }
            };
        }
    }
}

fn failed(source: io::Error) -> VmError {
    VmError::Exec {
        source: Arc::new(source),
    }
}

/// What kept a command from running, in the words of machines.
pub(super) fn end_error(error: SandboxError) -> VmError {
    if let SandboxError::CommandNotFound { .. } = error {
        return VmError::NoShell { path: String::new() };
    }
    if let SandboxError::Setup {
        stage: Stage::Network, ..
    } = &error
    {
        return VmError::Network {
            network: Network::Isolated,
            source: Arc::new(error),
        };
    }
    if let SandboxError::WorkingDirectory { path, .. } = &error {
        let workdir = path.display().to_string();
        return VmError::Workdir {
            workdir,
            source: Some(Arc::new(error)),
        };
    }
    VmError::Exec {
        source: Arc::new(error),
    }
}
