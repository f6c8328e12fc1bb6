//! Containers as they are asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::container::PathStatResponse;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder};

use super::error::{DockerError, status};
use super::shared::Shared;
use crate::machine::{Limits, Network};

/// Takes the command's process group out of the environment before the step's shell sees it: it tells the engine's init
/// to pass SIGTERM on to the whole group (tini(1)).
const WRAPPER: &str = "unset TINI_KILL_PROCESS_GROUP; exec sh -c \"$1\"";
/// The same for a working folder that may not be there: the engine itself would make it.
const WRAPPER_WITH_FOLDER: &str = "unset TINI_KILL_PROCESS_GROUP; cd \"$2\" || exit 127; exec sh -c \"$1\"";
/// Working folder where a command names none; every seed has it.
pub(super) const WORKDIR: &str = "/workspace";
/// Bits of Go's `FileMode`, which the engine tells modes in.
pub(super) const GO_DIR: u32 = 1 << 31;
pub(super) const GO_SYMLINK: u32 = 1 << 27;
/// What the machine calls itself.
const HOSTNAME: &str = "hm";

/// A command in a container.
#[derive(Debug)]
pub(super) struct Command<'a> {
    pub(super) image: &'a str,
    pub(super) cmd: &'a str,
    pub(super) env: &'a BTreeMap<String, String>,
    /// Variables of the engine's image that the command is not to see.
    pub(super) unset: &'a BTreeSet<String>,
    pub(super) workdir: &'a str,
    pub(super) user: &'a str,
    pub(super) network: Network,
    pub(super) limits: Limits,
}

impl Command<'_> {
    fn body(&self) -> ContainerCreateBody {
        let mut env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        // A name alone takes the variable away (Engine API, ContainerCreate, "Env").
        let unset = self.unset.iter().map(String::as_str).chain(["HOSTNAME"]);
        env.extend(
            unset
                .filter(|name| !self.env.contains_key(*name))
                .map(ToOwned::to_owned),
        );
        let (wrapper, cmd, folder) = if self.workdir == WORKDIR {
            (WRAPPER, vec![self.cmd.to_owned()], WORKDIR)
        } else {
            (
                WRAPPER_WITH_FOLDER,
                vec![self.cmd.to_owned(), self.workdir.to_owned()],
                "/",
            )
        };
        env.push("TINI_KILL_PROCESS_GROUP=1".to_owned());
        ContainerCreateBody {
            hostname: Some(HOSTNAME.to_owned()),
            user: Some(if self.user.is_empty() { "0" } else { self.user }.to_owned()),
            env: Some(env),
            entrypoint: Some(["sh", "-c", wrapper, "sh"].map(ToOwned::to_owned).to_vec()),
            cmd: Some(cmd),
            working_dir: Some(folder.to_owned()),
            host_config: Some(HostConfig {
                init: Some(true),
                ..limited(self.limits, host_config(self.network))
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

fn host_config(network: Network) -> HostConfig {
    let mode = match network {
        Network::Host => "host",
        // The engine's own: a way out through it, and no way in.
        Network::Isolated => "bridge",
        Network::None => "none",
    };
    HostConfig {
        network_mode: Some(mode.to_owned()),
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
        pids_limit: pids.map(|pids| i64::try_from(pids).unwrap_or(i64::MAX)),
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

    /// Makes a container for a command; it doesn't run yet.
    pub(super) async fn create_for(&self, name: &str, command: &Command<'_>) -> Result<(), DockerError> {
        self.create_container(name, command.body()).await
    }

    /// Makes a container that is only a file system.
    pub(super) async fn create_still(&self, name: &str, image: &str) -> Result<(), DockerError> {
        let body = ContainerCreateBody {
            entrypoint: Some(vec!["sh".to_owned()]),
            cmd: Some(Vec::new()),
            host_config: Some(host_config(Network::None)),
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
