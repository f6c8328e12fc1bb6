//! Credential helpers: programs `docker-credential-NAME` that take a server's name and give its credentials
//! (docker-login(1), "Credential helper protocol").

use std::env::split_paths;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::docker_config::Credentials;
use super::error::HelperError;

/// What a helper gives instead of a user's name where the secret is a refresh token.
const TOKEN_USER: &str = "<token>";

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
    let mut command = Command::new(found);
    command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let failed = |source| HelperError::Start {
        program: name.clone(),
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    let input = child.stdin.take();
    let talk = async {
        if let Some(mut input) = input {
            // A helper that doesn't read may still answer.
            input.write_all(server.as_bytes()).await.ok();
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(limit, talk).await {
        Ok(output) => output.map_err(failed)?,
        Err(_) => return Err(HelperError::Silent { program: name, limit }),
    };
    if !output.status.success() {
        // Helpers print what is wrong on standard output.
        let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
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
        serde_json::from_slice(&output.stdout).map_err(|source| HelperError::Answer { program: name, source })?;
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

/// The program, in the folders of `path`, or of this process's own.
fn find(name: &str, path: Option<&OsStr>) -> Option<OsString> {
    let Some(path) = path else { return Some(name.into()) };
    let found: Option<PathBuf> = split_paths(path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.map(Into::into)
}
