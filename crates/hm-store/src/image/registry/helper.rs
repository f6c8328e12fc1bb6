//! Credential helpers: programs `docker-credential-NAME` that take a server's name and give its credentials
//! (docker-login(1), "Credential helper protocol").

use std::env::split_paths;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::docker_config::Credentials;
use super::error::HelperError;

/// What a helper gives instead of a user's name where the secret is a refresh token.
const TOKEN_USER: &str = "<token>";
/// Greatest length of what a helper says, in bytes.
const MAX_SAID: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helper; `None` where it knows nothing of the server.
pub(super) async fn ask(
    program: &str,
    server: &str,
    path: Option<&OsStr>,
    limit: Duration,
) -> Result<Option<Credentials>, HelperError> {
    let name = format!("docker-credential-{program}");
    let Some(found) = find(&name, path) else {
        return Err(HelperError::Missing { program: name });
    };
    let failed = |source| HelperError::Start {
        program: name.clone(),
        source,
    };
    let mut running = Running::start(&found).map_err(failed)?;
    let Said { status, stdout, stderr } = match tokio::time::timeout(limit, running.talk(server)).await {
        Ok(Ok(said)) => said,
        Ok(Err(error)) if error.kind() == ErrorKind::FileTooLarge => {
            return Err(HelperError::TooLong { program: name });
        }
        Ok(Err(error)) => return Err(failed(error)),
        Err(_) => return Err(HelperError::Silent { program: name, limit }),
    };
    if !status.success() {
        // Helpers print what is wrong on standard output.
        let said = [&stdout, &stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
        let said = said
            .iter()
            .filter(|text| !text.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(HelperError::Failed { program: name, said });
    }
    let Answer { username, secret } =
        serde_json::from_slice(&stdout).map_err(|source| HelperError::Answer { program: name, source })?;
    if secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(if username == TOKEN_USER {
        Credentials::Identity(secret)
    } else {
        Credentials::Password {
            user: username,
            password: secret,
        }
    }))
}

/// A helper at work, in a process group of its own. When this is dropped before its end, all of the group ends.
struct Running {
    child: Child,
    group: Option<Pid>,
}

/// What a helper has said in all.
struct Said {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Running {
    fn start(program: &OsStr) -> io::Result<Self> {
        let child = Command::new(program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = id.and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// Asks, and takes what is said until the helper exits. A process that it leaves behind is neither waited for nor
    /// ended, even where it holds the pipes.
    ///
    /// # Errors
    /// `FileTooLarge`: one of the two is longer than [`MAX_SAID`].
    async fn talk(&mut self, server: &str) -> io::Result<Said> {
        let Self { child, group } = self;
        if let Some(mut input) = child.stdin.take() {
            // A helper that doesn't read may still answer.
            input.write_all(server.as_bytes()).await.ok();
        }
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                open = more(&mut out, &mut stdout), if out.is_some() => if !open? { out = None },
                open = more(&mut err, &mut stderr), if err.is_some() => if !open? { err = None },
            }
        };
        *group = None;
        rest(out.as_ref(), &mut stdout)?;
        rest(err.as_ref(), &mut stderr)?;
        Ok(Said { status, stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // The helper isn't waited for yet, so the group is still its own.
            rustix::process::kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// Takes what comes next; `false` at the end.
async fn more(pipe: &mut Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>) -> io::Result<bool> {
    let Some(pipe) = pipe else { return Ok(false) };
    let got = pipe.read_buf(said).await?;
    bounded(said)?;
    Ok(got > 0)
}

/// Takes what is there, without waiting for more.
fn rest(pipe: Option<&impl AsFd>, said: &mut Vec<u8>) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 64 << 10];
    loop {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) | Err(Errno::AGAIN) => return Ok(()),
            Ok(got) => said.extend_from_slice(&buffer[..got]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        bounded(said)?;
    }
}

fn bounded(said: &[u8]) -> io::Result<()> {
    if said.len() > MAX_SAID {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(())
}

/// The program, in the folders of `path`, or of this process's own.
fn find(name: &str, path: Option<&OsStr>) -> Option<OsString> {
    let Some(path) = path else { return Some(name.into()) };
    let found: Option<PathBuf> = split_paths(path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.map(Into::into)
}
