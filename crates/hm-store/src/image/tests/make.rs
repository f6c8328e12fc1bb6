//! Makes archives and layouts, also such as no tool would make.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::super::digest::sha256;
use super::super::{ImageError, ImageRef, Platform, ResolvedImage};
use crate::{Store, StoreSettings, SystemClock};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A tar archive in the making.
#[derive(Clone, Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

impl Tar {
    pub(super) fn entry(mut self, path: &str, kind: EntryType, data: &[u8], more: impl FnOnce(&mut Header)) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(data.len() as u64);
        more(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.raw(data)
    }

    /// Data, padded to whole blocks.
    pub(super) fn raw(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, path: &str, content: &str) -> Self {
        self.entry(path, EntryType::Regular, content.as_bytes(), |_| {})
    }

    pub(super) fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(path, EntryType::Directory, b"", |header| header.set_mode(mode))
    }

    pub(super) fn link(self, kind: EntryType, path: &str, target: &str) -> Self {
        self.entry(path, kind, b"", |header| {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        })
    }

    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.entry("pax", EntryType::XHeader, &data, |_| {})
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub(super) fn digest(bytes: &[u8]) -> String {
    sha256(bytes).to_string()
}

/// A folder with a store and room for images.
pub(super) struct Bench {
    base: TempDir,
    pub(super) store: Store,
}

impl Bench {
    pub(super) fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let store = open(base.path());
        Self { base, store }
    }

    pub(super) fn another_store(&self) -> Store {
        open(self.base.path())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    pub(super) fn layout(&self, name: &str) -> Layout {
        Layout::new(self.path(name))
    }

    pub(super) fn resolve(&self, reference: &str) -> Result<ResolvedImage, ImageError> {
        self.store.resolve_image(&ImageRef::parse(reference).unwrap(), &amd64())
    }

    /// An image with these plain layers.
    pub(super) fn image(&self, layers: &[Vec<u8>]) -> Result<ResolvedImage, ImageError> {
        let name = format!("layout-{}", self.store.temporary().file_name().unwrap().display());
        let layout = self.layout(&name);
        layout.index(&[layout.image(layers, &json!({}))]);
        self.resolve(&layout.reference())
    }

    /// The layers of images that are in the store.
    pub(super) fn unpacked(&self) -> usize {
        fs::read_dir(self.store.layout().layers()).unwrap().count()
    }
}

fn open(base: &Path) -> Store {
    Store::open(StoreSettings {
        root: base.join("store"),
        clock: Arc::new(SystemClock),
    })
    .unwrap()
}

pub(super) fn amd64() -> Platform {
    platform("amd64")
}

pub(super) fn platform(architecture: &str) -> Platform {
    Platform {
        os: "linux".into(),
        architecture: architecture.into(),
        variant: None,
    }
}

/// An OCI layout in the making.
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    fn new(root: PathBuf) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { root }
    }

    pub(super) fn reference(&self) -> String {
        format!("oci:{}", self.root.display())
    }

    pub(super) fn blob_path(&self, digest: &str) -> PathBuf {
        self.root
            .join("blobs/sha256")
            .join(digest.strip_prefix("sha256:").unwrap())
    }

    /// Writes a blob; gives its descriptor.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    pub(super) fn json(&self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    /// Writes an image of plain layers; gives its descriptor.
    pub(super) fn image(&self, layers: &[Vec<u8>], config: &Value) -> Value {
        let stored: Vec<(Vec<u8>, String)> = layers.iter().map(|layer| (layer.clone(), digest(layer))).collect();
        self.stored_image(&stored, "amd64", config)
    }

    /// Writes an image of layers as they are stored, with the digests of what they decompress to.
    pub(super) fn stored_image(&self, layers: &[(Vec<u8>, String)], architecture: &str, config: &Value) -> Value {
        let diffs: Vec<&String> = layers.iter().map(|(_, diff)| diff).collect();
        let config = self.json(
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": architecture, "os": "linux", "config": config,
                "rootfs": { "type": "layers", "diff_ids": diffs },
            }),
        );
        let layers: Vec<Value> = layers.iter().map(|(bytes, _)| self.blob(LAYER, bytes)).collect();
        self.json(
            MANIFEST,
            &json!({ "schemaVersion": 2, "config": config, "layers": layers }),
        )
    }

    pub(super) fn index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.root.join("index.json"), index.to_string()).unwrap();
    }
}

/// The descriptor with one more member.
pub(super) fn with(mut descriptor: Value, key: &str, value: Value) -> Value {
    descriptor.as_object_mut().unwrap().insert(key.to_owned(), value);
    descriptor
}

/// The error and what caused it, in one line.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
