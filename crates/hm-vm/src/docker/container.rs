//! Containers as they are asked for.

use std::collections::HashMap;

use bollard::container::PathStatResponse;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder};

use super::error::{DockerError, status};
use super::networks::NO_NETWORK;
use super::script::END;
use super::shared::Shared;
use crate::machine::{HOSTNAME, Limits, Network, OWN_ADDRESS};

/// Runs what it reads from standard input, up to a line that is its first argument. Half of it isn't run.
pub(super) const READER: &str = "s=; l=; while IFS= read -r l && [ \"$l\" != \"$1\" ]; do s=\"$s$l
\"; done; [ \"$l\" = \"$1\" ] || exit 125; exec < /dev/null; eval \"$s\"";
/// Has the engine's init pass SIGTERM on to the whole process group (tini(1)).
const TO_THE_GROUP: &str = "TINI_KILL_PROCESS_GROUP=1";
/// Working folder where a command names none; every seed has it.
pub(super) const WORKDIR: &str = "/workspace";
/// Bits of Go's `FileMode`, which the engine tells modes in.
pub(super) const GO_DIR: u32 = 1 << 31;
pub(super) const GO_SYMLINK: u32 = 1 << 27;

/// A container that runs what it is given when it is started.
#[derive(Debug)]
pub(super) struct Shell<'a> {
    pub(super) image: &'a str,
    /// Where the shell is looked for.
    pub(super) path: &'a str,
    pub(super) user: &'a str,
    pub(super) network: Network,
    pub(super) limits: Limits,
}

impl Shell<'_> {
    fn body(&self, network: String) -> ContainerCreateBody {
        ContainerCreateBody {
            hostname: Some(HOSTNAME.to_owned()),
            user: Some(if self.user.is_empty() { "0" } else { self.user }.to_owned()),
            env: Some(vec![format!("PATH={}", self.path), TO_THE_GROUP.to_owned()]),
            entrypoint: Some(["sh", "-c", READER, "sh", END].map(ToOwned::to_owned).to_vec()),
            cmd: Some(Vec::new()),
            working_dir: Some("/".to_owned()),
            attach_stdin: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            host_config: Some(HostConfig {
                init: Some(true),
                // With a bridge the engine does so itself, and the host's network has the host's file.
                extra_hosts: (self.network == Network::None).then(|| vec![format!("{HOSTNAME}:{OWN_ADDRESS}")]),
                ..limited(self.limits, host_config(network))
            }),
            ..common(self.image)
        }
    }
}

fn common(image: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn host_config(network: String) -> HostConfig {
    HostConfig {
        network_mode: Some(network),
        // The output is read as it comes, by attaching; the engine need not keep it.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        ..HostConfig::default()
    }
}

/// Swap would let a step have more than its limit: memory and swap together get what memory gets.
fn limited(limits: Limits, config: HostConfig) -> HostConfig {
    let Limits { cpus, memory_mib, pids } = limits;
    let memory = memory_mib.map(|mib| i64::try_from(mib).unwrap_or(i64::MAX).saturating_mul(1 << 20));
    HostConfig {
        nano_cpus: cpus.map(billionths),
        memory,
        memory_swap: memory,
        // The kernel takes no greater limit than its own (`PID_MAX_LIMIT`).
        pids_limit: pids
            .filter(|pids| *pids <= 1 << 22)
            .and_then(|pids| i64::try_from(pids).ok()),
        ..config
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a number of processors is small, and a float becomes an integer by `as` at its nearest bound"
)]
fn billionths(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

impl Shared {
    /// What there is at a path of a container, links not followed.
    pub(super) async fn look(&self, container: &str, path: &str) -> Result<Option<PathStatResponse>, DockerError> {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        let info = self.docker.get_container_archive_info(container, Some(options));
        match info.await {
            Ok(info) => Ok(Some(info)),
            // 400 or 500, by the engine's age: something on the way is no folder.
            Err(error) if matches!(status(&error), Some(400 | 404 | 500)) => Ok(None),
            Err(error) => Err(DockerError::engine("look into a container")(error)),
        }
    }

    /// Makes a container for commands; it doesn't run yet.
    pub(super) async fn create_shell(&self, name: &str, shell: &Shell<'_>) -> Result<(), DockerError> {
        let network = self.network_mode(shell.network).await?;
        self.create_container(name, shell.body(network)).await
    }

    /// Makes a container that is only a file system.
    pub(super) async fn create_still(&self, name: &str, image: &str) -> Result<(), DockerError> {
        let body = ContainerCreateBody {
            entrypoint: Some(vec!["sh".to_owned()]),
            cmd: Some(Vec::new()),
            host_config: Some(host_config(NO_NETWORK.to_owned())),
            ..common(image)
        };
        self.create_container(name, body).await
    }

    async fn create_container(&self, name: &str, body: ContainerCreateBody) -> Result<(), DockerError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let body = ContainerCreateBody {
            labels: Some(HashMap::clone(&self.labels)),
            ..body
        };
        let created = self.docker.create_container(Some(options), body).await;
        created.map(drop).map_err(DockerError::engine("make a container"))
    }
}
