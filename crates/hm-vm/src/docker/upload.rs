//! Workspaces on their way into containers.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bollard::body_try_stream;
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bytes::Bytes;
use hm_store::workspace::{Entry, EntryKind, WORKSPACE_FOLDER, Workspace};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::error::DockerError;
use super::shared::Shared;

/// Bytes that are handed to the connection at once.
const PIECE: usize = 128 * 1024;
const NANOSECONDS: i128 = 1_000_000_000;

/// Files for a container.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The workspace's root itself.
    pub(super) root: bool,
    pub(super) workspace: Option<Arc<Workspace>>,
    /// Positions in the manifest.
    pub(super) entries: Vec<usize>,
    /// A script of this text at this place, for a command to run.
    pub(super) script: Option<(&'static str, Vec<u8>)>,
}

impl Shared {
    /// Puts the files into a container that need not run. They are read and sent piece by piece.
    pub(super) async fn upload(&self, container: &str, upload: Upload) -> Result<(), DockerError> {
        let (send, receive) = mpsc::channel(8);
        let body = futures::stream::unfold(receive, async |mut receive: mpsc::Receiver<_>| {
            receive.recv().await.map(|piece| (piece, receive))
        });
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let sending = self
            .docker
            .upload_to_container(container, Some(options), body_try_stream(body));
        let reading = tokio::task::spawn_blocking(move || {
            let pieces = Pieces { to: send.clone() };
            if let Err(error) = upload.write(BufWriter::with_capacity(PIECE, pieces)) {
                let copy = io::Error::new(error.kind(), error.to_string());
                send.blocking_send(Err(error)).ok();
                return Err(copy);
            }
            Ok(())
        });
        let (sent, read) = futures::future::join(sending, reading).await;
        // Where the engine refuses the reading fails, too, and then its words count.
        sent.map_err(DockerError::engine("take the files of the workspace"))?;
        let read = read.map_err(io::Error::other).and_then(|read| read);
        read.map_err(DockerError::files("read the captured workspace"))
    }
}

#[derive(Debug)]
struct Pieces {
    to: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.to.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload {
    fn write(&self, to: impl Write) -> io::Result<()> {
        let mut archive = Builder::new(to);
        let place = Path::new(WORKSPACE_FOLDER);
        if self.root {
            let mut header = self.header(EntryType::Directory, 0o755, 0);
            archive.append_data(&mut header, place, io::empty())?;
        }
        if let Some(workspace) = &self.workspace {
            let files = workspace.layer.join(WORKSPACE_FOLDER);
            let all = workspace.manifest.entries();
            for entry in self.entries.iter().filter_map(|at| all.get(*at)) {
                self.entry(&mut archive, entry, place, &files)?;
            }
        }
        if let Some((path, text)) = &self.script {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o600);
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, path, &text[..])?;
        }
        archive.into_inner()?.flush()
    }

    fn entry(&self, archive: &mut Builder<impl Write>, entry: &Entry, place: &Path, files: &Path) -> io::Result<()> {
        let path = place.join(entry.path());
        let nanoseconds = entry.mtime_ns.max(0);
        let (seconds, rest) = (nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS);
        // What the header itself can't tell (pax(1), "pax Extended Header").
        let exact = format!("{seconds}.{rest:09}");
        archive.append_pax_extensions([("mtime", exact.as_bytes())])?;
        let header = |kind, size| {
            let mut header = self.header(kind, entry.mode, size);
            header.set_mtime(u64::try_from(seconds).unwrap_or_default());
            header
        };
        match &entry.kind {
            EntryKind::Dir => archive.append_data(&mut header(EntryType::Directory, 0), path, io::empty()),
            EntryKind::Symlink { target } => {
                let target = Path::new(OsStr::from_bytes(target));
                archive.append_link(&mut header(EntryType::Symlink, 0), path, target)
            }
            EntryKind::File { size, hash: _ } => {
                let file = File::open(files.join(entry.path()))?;
                archive.append_data(&mut header(EntryType::Regular, *size), path, file)
            }
        }
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.uid.into());
        header.set_gid(self.gid.into());
        header.set_size(size);
        header
    }
}
