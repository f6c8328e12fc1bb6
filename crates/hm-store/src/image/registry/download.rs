//! The download of one layer.

use std::error::Error;
use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::answer::Failure;
use super::endpoint::Endpoint;
use super::growing::Writer;
use super::partial::Partial;
use super::repository::{Ask, Repository};
use super::{PullEvent, RegistryError};
use crate::error::FileError;
use crate::ids::{DigestAlgorithm, ImageDigest, LayerId};

/// Pieces on the way from the network to the disk.
const ON_THE_WAY: usize = 32;

/// A layer to be had.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Its place in the image.
    pub(super) number: usize,
    pub(super) layer: LayerId,
    pub(super) blob: ImageDigest,
    pub(super) size: u64,
}

/// Downloads a layer that isn't in the store. `writer` is told how it goes; where there is none, the layer is kept as it
/// is.
pub(super) async fn download(
    repository: Arc<Repository>,
    wanted: Wanted,
    writer: Option<Writer>,
    permits: Arc<Semaphore>,
) -> Result<(), RegistryError> {
    let store = &repository.store;
    let mut partial = Partial::lock(store.layout(), &wanted.layer, &wanted.blob).await?;
    let is_kept = || writer.is_none() && store.keeps_blob(&wanted.blob, wanted.size);
    if store.layout().layer(&wanted.layer).is_dir() || is_kept() {
        repository.tell(PullEvent::LayerPresent { layer: wanted.number });
        if let Some(writer) = writer {
            writer.present();
        }
        partial.remove()?;
        return Ok(());
    }
    let mut download = Download {
        repository: &repository,
        wanted: &wanted,
        endpoint: 0,
    };
    if writer.is_some()
        && let Some(kept) = download.kept().await?
    {
        return download.done(partial, Some(kept), writer).await;
    }
    let permit = permits.acquire().await;
    let mut had = partial.length()?;
    if had > wanted.size {
        partial.clear()?;
        had = 0;
    }
    let digest = wanted.blob.to_string();
    repository.tell(PullEvent::LayerStarted {
        layer: wanted.number,
        digest: &digest,
        size: wanted.size,
        resumed_at: had,
    });
    if had > 0 {
        // What an earlier process left may be damaged, so nobody reads it before its digest is known.
        let (resumed, found, _) = download.run(partial, had, None).await?;
        partial = resumed;
        if found == wanted.blob {
            drop(permit);
            return download.done(partial, None, writer).await;
        }
        partial.clear()?;
    }
    let (partial, writer) = download.whole(partial, writer).await?;
    drop(permit);
    download.done(partial, None, writer).await
}

struct Download<'a> {
    repository: &'a Repository,
    wanted: &'a Wanted,
    /// The server that is asked; once one fails it is the next.
    endpoint: usize,
}

impl<'a> Download<'a> {
    /// The blob, where a pull has kept it and it is not damaged.
    async fn kept(&self) -> Result<Option<File>, RegistryError> {
        let (store, blob) = (self.repository.store.clone(), self.wanted.blob);
        Ok(self.aside(move || store.right_blob(&blob)).await??)
    }

    /// All of it is there and right: in `kept`, else in the file that it was downloaded to.
    async fn done(&self, partial: Partial, kept: Option<File>, writer: Option<Writer>) -> Result<(), RegistryError> {
        let Wanted { number, blob, size, .. } = *self.wanted;
        if let Some(writer) = writer {
            let file = kept.map_or_else(|| partial.reader(), Ok)?;
            writer.whole(size, file, partial);
            self.repository.tell(PullEvent::LayerDownloaded { layer: number });
        } else {
            self.repository.tell(PullEvent::LayerDownloaded { layer: number });
            let store = self.repository.store.clone();
            self.aside(move || partial.keep(store.layout(), &blob)).await??;
            self.repository.tell(PullEvent::LayerKept { layer: number });
        }
        Ok(())
    }

    /// Does work that waits for the disk.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, RegistryError> {
        let mut disk = JoinSet::new();
        disk.spawn_blocking(work);
        let done = disk.join_next().await.and_then(Result::ok);
        done.ok_or_else(|| RegistryError::GivenUp {
            digest: self.wanted.blob.to_string(),
        })
    }

    /// Loads all of it into the empty file, from one server after the other until its digest is right.
    async fn whole(
        &mut self,
        mut partial: Partial,
        mut writer: Option<Writer>,
    ) -> Result<(Partial, Option<Writer>), RegistryError> {
        loop {
            if let Some(writer) = &writer {
                writer.readable(partial.reader()?);
            }
            let first = self.endpoint;
            let found;
            (partial, found, writer) = self.run(partial, 0, writer).await?;
            if found == self.wanted.blob {
                return Ok((partial, writer));
            }
            partial.clear()?;
            // Where several servers had a share in it the last may be right.
            if first == self.endpoint {
                let error = self
                    .repository
                    .mismatch(self.server(), "layer", &self.wanted.blob, &found);
                self.give_up(error)?;
            }
            if let Some(writer) = &writer {
                writer.anew();
            }
        }
    }

    /// Goes on to the next server.
    ///
    /// # Errors
    /// The server's, where it is the last.
    fn give_up(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        if self.endpoint + 1 == self.repository.endpoints.len() {
            return Err(error);
        }
        self.repository.mirror_failed(self.server(), &error);
        self.endpoint += 1;
        Ok(())
    }

    /// Loads what is missing; gives the digest of all.
    async fn run(
        &mut self,
        partial: Partial,
        had: u64,
        writer: Option<Writer>,
    ) -> Result<(Partial, ImageDigest, Option<Writer>), RegistryError> {
        let (pieces, taken) = mpsc::channel(ON_THE_WAY);
        let mut disk = JoinSet::new();
        disk.spawn_blocking(move || write(partial, had, taken, writer));
        let fetched = self.fetch(had, &pieces).await;
        drop(pieces);
        let given_up = || RegistryError::GivenUp {
            digest: self.wanted.blob.to_string(),
        };
        let written = disk.join_next().await.and_then(Result::ok).ok_or_else(given_up)?;
        // The disk's error is why no more was fetched.
        let written = written?;
        fetched?;
        Ok(written)
    }

    async fn fetch(&mut self, had: u64, pieces: &mpsc::Sender<Bytes>) -> Result<(), RegistryError> {
        let mut got = had;
        loop {
            match self.fetch_from(self.server(), &mut got, pieces).await {
                Ok(()) => return Ok(()),
                Err(error) => self.give_up(error)?,
            }
        }
    }

    async fn fetch_from(
        &self,
        endpoint: &Endpoint,
        got: &mut u64,
        pieces: &mpsc::Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        let path = format!("blobs/{}", self.wanted.blob);
        let mut attempts = self.repository.attempts_at(endpoint);
        let mut ranges = true;
        while *got < self.wanted.size {
            let ask = Ask {
                method: Method::GET,
                path: &path,
                accept: None,
                from: if ranges { *got } else { 0 },
            };
            let before = *got;
            let failure = match self.repository.ask_once(endpoint, &ask).await {
                Ok(response) => match self.take(endpoint, response, got, pieces).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                },
                // It may take the whole for an answer, the known part of which is passed over.
                Err(failure) if ask.from > 0 && failure.is_refused_range() => {
                    ranges = false;
                    continue;
                }
                Err(failure) => failure,
            };
            if *got > before {
                attempts.got_on();
            }
            let made = attempts.made() + 1;
            let cut_after = *got;
            self.repository
                .wait(failure, &mut attempts)
                .await
                .map_err(|error| self.cut(endpoint, error, cut_after, made))?;
        }
        Ok(())
    }

    /// An answer that was cut short again and again says how far it came.
    fn cut(&self, endpoint: &Endpoint, error: RegistryError, got: u64, attempts: u32) -> RegistryError {
        let is_connection =
            matches!(&error, RegistryError::Unreachable { source, .. } if got > 0 && !source.is_connect());
        let source: Option<Box<dyn Error + Send + Sync>> = if let RegistryError::Cut { source, .. } = error {
            source
        } else if is_connection && let RegistryError::Unreachable { source, .. } = error {
            Some(source.into())
        } else {
            return error;
        };
        let (host, digest, size) = (endpoint.name.clone(), self.wanted.blob.to_string(), self.wanted.size);
        RegistryError::Cut {
            host,
            digest,
            got,
            size,
            attempts,
            source,
        }
    }

    /// Takes the body of one answer.
    async fn take(
        &self,
        endpoint: &Endpoint,
        mut response: Response,
        got: &mut u64,
        pieces: &mpsc::Sender<Bytes>,
    ) -> Result<(), Failure> {
        let Wanted { number, blob, size, .. } = self.wanted;
        // A server that knows no ranges begins anew.
        let mut skip = if *got > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            *got
        } else {
            0
        };
        if *got > 0 && skip == 0 {
            check_range(&response, &endpoint.name, *got)?;
        }
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    return Err(Failure::unreachable(
                        &endpoint.name,
                        endpoint.with_tls,
                        &self.repository.settings.proxies,
                        error,
                    ));
                }
            };
            let skipped = usize::try_from(skip).map_or(chunk.len(), |skip| skip.min(chunk.len()));
            skip -= skipped as u64;
            let chunk = chunk.slice(skipped..);
            if chunk.is_empty() {
                continue;
            }
            let bytes = chunk.len() as u64;
            if *got + bytes > *size {
                return Err(RegistryError::TooLong {
                    reference: self.repository.reference.to_string(),
                    host: endpoint.name.clone(),
                    what: "layer",
                    digest: blob.to_string(),
                    size: *size,
                }
                .into());
            }
            if pieces.send(chunk).await.is_err() {
                return Err(RegistryError::GivenUp {
                    digest: blob.to_string(),
                }
                .into());
            }
            *got += bytes;
            self.repository.tell(PullEvent::LayerBytes { layer: *number, bytes });
        }
        if *got == *size {
            return Ok(());
        }
        let error = RegistryError::Cut {
            host: endpoint.name.clone(),
            digest: blob.to_string(),
            got: *got,
            size: *size,
            attempts: 1,
            source: None,
        };
        Err(Failure {
            error,
            passing: true,
            asked: None,
            unreached: false,
        })
    }

    fn server(&self) -> &'a Endpoint {
        &self.repository.endpoints[self.endpoint]
    }
}

fn check_range(response: &Response, host: &str, wanted: u64) -> Result<(), RegistryError> {
    let header = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let from = header
        .strip_prefix("bytes ")
        .and_then(|range| range.split_once('-')?.0.trim().parse().ok());
    if from == Some(wanted) {
        return Ok(());
    }
    Err(RegistryError::WrongRange {
        host: host.to_owned(),
        wanted,
        found: header.to_owned(),
    })
}

/// Appends what comes to the file; gives the digest of the whole file.
fn write(
    mut partial: Partial,
    had: u64,
    mut pieces: mpsc::Receiver<Bytes>,
    writer: Option<Writer>,
) -> Result<(Partial, ImageDigest, Option<Writer>), FileError> {
    let mut hasher = Sha256::new();
    let mut length = had;
    partial.read_all(|bytes| hasher.update(bytes))?;
    while let Some(piece) = pieces.blocking_recv() {
        if let Err(error) = partial.write(&piece) {
            if error.source.kind() == ErrorKind::StorageFull {
                // It must not be what keeps the disk full.
                partial.clear()?;
            }
            return Err(error);
        }
        length += piece.len() as u64;
        if let Some(writer) = &writer {
            writer.written(length);
        }
        hasher.update(&piece);
    }
    let digest = ImageDigest::new(DigestAlgorithm::Sha256, hasher.finalize().into());
    Ok((partial, digest, writer))
}
