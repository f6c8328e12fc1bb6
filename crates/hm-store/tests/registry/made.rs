//! Images in the making: blobs and manifests by digest.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a server has of one repository.
#[derive(Clone, Default, Debug)]
pub(crate) struct Made {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// By tag and by digest: media type and bytes.
    pub(crate) manifests: BTreeMap<String, (String, Vec<u8>)>,
}

/// A layer as it is stored, and the digest of what it decompresses to.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) bytes: Vec<u8>,
    diff: String,
    media_type: &'static str,
}

impl Layer {
    /// A tar archive with these files.
    pub(crate) fn plain(files: &[(&str, &[u8])]) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(1_600_000_000);
            archive.append_data(&mut header, path, *content).unwrap();
        }
        Self::of_tar(archive.into_inner().unwrap())
    }

    /// This archive.
    pub(crate) fn of_tar(bytes: Vec<u8>) -> Self {
        let diff = digest(&bytes);
        Self {
            bytes,
            diff,
            media_type: "application/vnd.oci.image.layer.v1.tar",
        }
    }

    pub(crate) fn gzip(self) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&self.bytes).unwrap();
        let bytes = encoder.finish().unwrap();
        Self {
            bytes,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip",
            ..self
        }
    }

    pub(crate) fn zstd(self) -> Self {
        let bytes = zstd::encode_all(self.bytes.as_slice(), 1).unwrap();
        Self {
            bytes,
            media_type: "application/vnd.oci.image.layer.v1.tar+zstd",
            ..self
        }
    }

    pub(crate) fn docker(self) -> Self {
        Self {
            media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ..self.gzip()
        }
    }

    pub(crate) fn digest(&self) -> String {
        digest(&self.bytes)
    }
}

impl Made {
    /// One image for amd64 with the tag `t`.
    pub(crate) fn tagged(layers: &[Layer]) -> Self {
        let mut made = Self::default();
        let image = made.image("amd64", layers, OCI_MANIFEST);
        made.tag("t", &image);
        made
    }

    /// An image for amd64 for each tag: the base, and a layer with the file `top` that holds the tag.
    pub(crate) fn on_a_base(base: &Layer, tags: &[&str]) -> Self {
        let mut made = Self::default();
        for tag in tags {
            let top = Layer::plain(&[("top", tag.as_bytes())]);
            let image = made.image("amd64", &[base.clone(), top], OCI_MANIFEST);
            made.tag(tag, &image);
        }
        made
    }

    /// Adds an image; gives its digest.
    pub(crate) fn image(&mut self, architecture: &str, layers: &[Layer], media_type: &str) -> String {
        let diffs: Vec<&String> = layers.iter().map(|layer| &layer.diff).collect();
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": { "Env": [format!("ARCH={architecture}")], "WorkingDir": "/w" },
            "rootfs": { "type": "layers", "diff_ids": diffs },
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().into_bytes(),
        );
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| self.blob(layer.media_type, layer.bytes.clone()))
            .collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers });
        self.manifest(media_type, &manifest)
    }

    /// Adds a list of images, by architecture; gives its digest.
    pub(crate) fn list(&mut self, images: &[(&str, &String)], media_type: &str) -> String {
        let entries: Vec<Value> = images
            .iter()
            .map(|(architecture, digest)| {
                let (kind, bytes) = &self.manifests[*digest];
                json!({
                    "mediaType": kind, "digest": digest, "size": bytes.len(),
                    "platform": { "os": "linux", "architecture": architecture },
                })
            })
            .collect();
        let list = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        self.manifest(media_type, &list)
    }

    pub(crate) fn tag(&mut self, tag: &str, digest: &str) {
        let manifest = self.manifests[digest].clone();
        self.manifests.insert(tag.to_owned(), manifest);
    }

    pub(crate) fn manifest(&mut self, media_type: &str, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let digest = digest(&bytes);
        self.manifests.insert(digest.clone(), (media_type.to_owned(), bytes));
        digest
    }

    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
        self.blobs.insert(digest, bytes);
        descriptor
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Bytes that don't compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
