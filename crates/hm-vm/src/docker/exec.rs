//! One command from the start of its container to its end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error as EngineError;
use bollard::models::ContainerWaitResponse;
use bollard::query_parameters::{AttachContainerOptionsBuilder, WaitContainerOptionsBuilder};
use futures::StreamExt;
use hm_plugin_protocol::Stream;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::error::DockerError;
use super::janitor;
use super::shared::Shared;
use crate::machine::{OutputSink, StopToken};
use crate::stopping::{Stopping, Told, next_stop};

impl Shared {
    /// Starts a container, gives it the script to run, hands on its output byte by byte, stops it when told to, and waits for its end; its exit
    /// code. Where it fails, the container may still run.
    pub(super) async fn run(
        &self,
        name: &str,
        script: String,
        sink: &dyn OutputSink,
        stop: &StopToken,
        grace: Duration,
    ) -> Result<i32, DockerError> {
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.docker.attach_container(name, Some(options)).await;
        let AttachContainerResults { mut output, mut input } =
            attached.map_err(DockerError::engine("attach to a container"))?;
        let started = self.docker.start_container(name, None).await;
        started.map_err(DockerError::engine("start a container"))?;
        let mut given = std::pin::pin!(async {
            // Where it isn't taken, the container's end says why.
            drop(input.write_all(script.as_bytes()).await);
            drop(input.flush().await);
            std::future::pending::<()>().await;
        });
        let mut ended = std::pin::pin!(self.ended(name));
        let mut stopping = Stopping::Not;
        let mut open = true;
        let exit = loop {
            let told = tokio::select! {
                piece = output.next(), if open => {
                    open = hand_on(piece, sink)?;
                    continue;
                }
                exit = &mut ended => break exit?,
                () = &mut given => continue,
                told = next_stop(stop, stopping) => told,
            };
            stopping = match told {
                Told::Terminate => {
                    janitor::kill(&self.docker, name, "SIGTERM").await?;
                    Stopping::Grace {
                        until: Instant::now() + grace,
                    }
                }
                Told::Kill => {
                    janitor::kill(&self.docker, name, "SIGKILL").await?;
                    Stopping::Killed
                }
            };
        };
        // The engine ends the stream once it has given all of it.
        while open {
            open = hand_on(output.next().await, sink)?;
        }
        Ok(exit)
    }

    /// Waits until a container doesn't run; its exit code.
    pub(super) async fn ended(&self, name: &str) -> Result<i32, DockerError> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut answers = std::pin::pin!(self.docker.wait_container(name, Some(options)));
        exit_code(answers.next().await)
    }
}

/// Gives a piece of output to the sink; whether there may be more. A piece may end anywhere in a line or character.
fn hand_on(piece: Option<Result<LogOutput, EngineError>>, sink: &dyn OutputSink) -> Result<bool, DockerError> {
    let (stream, bytes) = match piece {
        None => return Ok(false),
        Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => (Stream::Stdout, message),
        Some(Ok(LogOutput::StdErr { message })) => (Stream::Stderr, message),
        Some(Ok(LogOutput::StdIn { .. })) => return Ok(true),
        Some(Err(error)) => return Err(DockerError::engine("hand on the output of a container")(error)),
    };
    if !bytes.is_empty() {
        sink.write(stream, &bytes);
    }
    Ok(true)
}

/// No answer is never a zero.
fn exit_code(answer: Option<Result<ContainerWaitResponse, EngineError>>) -> Result<i32, DockerError> {
    let (code, message) = match answer {
        None => return Err(DockerError::NoExitCode),
        Some(Ok(ended)) => (ended.status_code, ended.error.and_then(|error| error.message)),
        // The client makes an error of every code but 0.
        Some(Err(EngineError::DockerContainerWaitError { error, code })) => (code, Some(error)),
        Some(Err(error)) => return Err(DockerError::engine("wait for a container")(error)),
    };
    match message.filter(|message| !message.is_empty()) {
        Some(message) => Err(DockerError::Lost { message }),
        None => i32::try_from(code).map_err(|_| DockerError::NoExitCode),
    }
}

/// Keeps what a command of the backend's own says.
#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<Vec<u8>>);

impl Gathered {
    pub(super) fn text(&self) -> String {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

impl OutputSink for Gathered {
    fn write(&self, _stream: Stream, bytes: &[u8]) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerWaitExitError;

    use super::*;

    fn answer(code: i64, message: Option<&str>) -> ContainerWaitResponse {
        ContainerWaitResponse {
            status_code: code,
            error: message.map(|message| ContainerWaitExitError {
                message: Some(message.to_owned()),
            }),
        }
    }

    #[test]
    fn only_a_told_exit_code_is_one() {
        assert_eq!(exit_code(Some(Ok(answer(0, None)))).unwrap(), 0);
        let failed = EngineError::DockerContainerWaitError {
            error: String::new(),
            code: 3,
        };
        assert_eq!(exit_code(Some(Err(failed))).unwrap(), 3);
        assert!(matches!(exit_code(None), Err(DockerError::NoExitCode)));
        assert!(matches!(
            exit_code(Some(Ok(answer(0, Some("shim died"))))),
            Err(DockerError::Lost { .. })
        ));
        assert!(matches!(
            exit_code(Some(Err(EngineError::RequestTimeoutError))),
            Err(DockerError::Engine { .. })
        ));
    }
}
