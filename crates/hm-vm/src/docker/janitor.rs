//! Removes containers and images beside the build, in the order in which they were given up.

use std::sync::{Mutex, PoisonError};

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::error::{DockerError, status};

/// Jobs that are taken at once.
const BATCH: usize = 64;

#[derive(Debug)]
enum Job {
    Kill(String),
    Container(String),
    Image(String),
    Settle(oneshot::Sender<Vec<DockerError>>),
}

/// Clones give to the same worker.
#[derive(Debug)]
pub(super) struct Janitor {
    jobs: mpsc::UnboundedSender<Job>,
    /// Ends with this.
    worker: Mutex<JoinSet<()>>,
}

impl Janitor {
    pub(super) fn start(docker: Docker) -> Self {
        let (jobs, taken) = mpsc::unbounded_channel();
        let mut worker = JoinSet::new();
        worker.spawn(work(docker, taken));
        Self {
            jobs,
            worker: Mutex::new(worker),
        }
    }

    /// Ends what runs in a container and leaves its files.
    pub(super) fn kill(&self, name: &str) {
        self.send(Job::Kill(name.to_owned()));
    }

    /// Removes a container, whether it runs or not. One that isn't there is fine.
    pub(super) fn remove(&self, name: &str) {
        self.send(Job::Container(name.to_owned()));
    }

    /// Removes an image that no container or other image stands on once all that was given before is gone.
    pub(super) fn remove_image(&self, id: String) {
        self.send(Job::Image(id));
    }

    /// Waits until all is done that was given before; what could not be removed.
    pub(super) async fn settle(&self) -> Vec<DockerError> {
        let (done, wait) = oneshot::channel();
        self.send(Job::Settle(done));
        wait.await.unwrap_or_default()
    }

    fn send(&self, job: Job) {
        // Without a worker the runtime is at its end, and the next sweep does it.
        self.jobs.send(job).ok();
    }
}

async fn work(docker: Docker, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut problems = Vec::new();
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let mut containers = Vec::new();
        for job in batch.drain(..) {
            match job {
                Job::Kill(name) => drop(kill(&docker, &name, "SIGKILL").await),
                Job::Container(name) => containers.push(name),
                Job::Image(id) => {
                    problems.extend(remove_all(&docker, &mut containers).await);
                    problems.extend(remove_image(&docker, &id).await.err());
                }
                Job::Settle(done) => {
                    problems.extend(remove_all(&docker, &mut containers).await);
                    // Nobody waits any more: then nobody wants to know.
                    done.send(std::mem::take(&mut problems)).ok();
                }
            }
        }
        problems.extend(remove_all(&docker, &mut containers).await);
    }
}

async fn remove_all(docker: &Docker, names: &mut Vec<String>) -> Vec<DockerError> {
    let removals = names.iter().map(|name| remove(docker, name));
    let removed = join_all(removals).await;
    names.clear();
    removed.into_iter().filter_map(Result::err).collect()
}

/// Removes a container with its processes and anonymous volumes.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), DockerError> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        // 409: somebody else is removing it.
        Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
        other => other.map_err(DockerError::engine("remove a container")),
    }
}

pub(super) async fn remove_image(docker: &Docker, id: &str) -> Result<(), DockerError> {
    let options = RemoveImageOptionsBuilder::default().noprune(true).build();
    match docker.remove_image(id, Some(options), None).await {
        Ok(_) => Ok(()),
        Err(error) if status(&error) == Some(404) => Ok(()),
        Err(error) => Err(DockerError::engine("remove an image")(error)),
    }
}

/// Sends a signal to the container's first process. A container that has ended is fine.
pub(super) async fn kill(docker: &Docker, name: &str, signal: &str) -> Result<(), DockerError> {
    let options = KillContainerOptionsBuilder::default().signal(signal).build();
    match docker.kill_container(name, Some(options)).await {
        Err(error) if matches!(status(&error), Some(404 | 409)) || is_not_running(&error) => Ok(()),
        other => other.map_err(DockerError::engine("send a signal to a container")),
    }
}

/// Podman's way to say what others say by 409.
fn is_not_running(error: &EngineError) -> bool {
    error.to_string().contains("can only kill running containers")
}

impl Drop for Janitor {
    fn drop(&mut self) {
        let worker = self.worker.get_mut().unwrap_or_else(PoisonError::into_inner);
        worker.abort_all();
    }
}
