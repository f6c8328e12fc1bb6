//! Who commands run as in an image.

use std::io::{Cursor, Read};

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures::TryStreamExt;

use super::error::{DockerError, status};
use super::shared::{Shared, start_error};
use crate::machine::VmError;
use crate::user::{Identity, identify};

impl Shared {
    /// The user that an image names, looked up in its own files.
    pub(super) async fn identify(&self, image: &str, user: &str) -> Result<Identity, VmError> {
        if matches!(user, "" | "0" | "root") {
            return Ok(Identity::root());
        }
        let name = self.new_name();
        self.create_still(&name, image).await.map_err(start_error)?;
        let passwd = self.text_of(&name, "/etc/passwd").await;
        let group = self.text_of(&name, "/etc/group").await;
        self.janitor.remove(&name);
        let (passwd, group) = (passwd.map_err(start_error)?, group.map_err(start_error)?);
        identify(user, &passwd, &group).map_err(|problem| VmError::UnknownUser {
            user: user.to_owned(),
            problem,
        })
    }

    /// The text of a small file; none where it isn't there.
    async fn text_of(&self, container: &str, path: &str) -> Result<String, DockerError> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let archive = self.docker.download_from_container(container, Some(options));
        let archive = archive.try_fold(Vec::new(), async |mut all, piece| {
            all.extend_from_slice(&piece);
            Ok(all)
        });
        let archive = match archive.await {
            Err(error) if status(&error) == Some(404) => return Ok(String::new()),
            other => other.map_err(DockerError::engine("read a file of an image"))?,
        };
        let mut text = Vec::new();
        let mut archive = tar::Archive::new(Cursor::new(archive));
        let mut entries = archive
            .entries()
            .map_err(DockerError::files("read a file of an image"))?;
        if let Some(entry) = entries.next() {
            let read = entry.and_then(|mut entry| entry.read_to_end(&mut text));
            read.map_err(DockerError::files("read a file of an image"))?;
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
