//! Which image of a layout or archive is meant, with its documents read and checked.

use super::blobs::Blobs;
use super::digest::{self, sha256};
use super::documents::{CONTAINERD_NAME, Configuration, Descriptor, DockerImage, Node, REF_NAME};
use super::search::Search;
use super::{ImageError, Platform};
use crate::error::FileError;
use crate::ids::{ImageDigest, LayerId};

/// Greatest length of a JSON document in bytes.
const MAX_DOCUMENT: u64 = 16 << 20;
/// Greatest number of layers: the kernel stacks 500 (`OVL_MAX_STACK`), and machines add theirs.
const MAX_LAYERS: usize = 450;

/// One image, ready to be unpacked.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) digest: ImageDigest,
    pub(super) configuration: Configuration,
    /// The bottom first.
    pub(super) layers: Vec<LayerSource>,
}

impl Chosen {
    /// The names that its layers have in the store.
    pub(super) fn layer_ids(&self) -> Vec<LayerId> {
        // A folder that a layer implies takes its mode from the layers below, so the name stands for the whole stack
        // up to here (OCI image specification, "Layer ChainID").
        let mut chain: Option<ImageDigest> = None;
        let names = self.layers.iter().map(|source| {
            let id = match chain {
                None => source.diff,
                Some(below) => sha256(format!("{below} {}", source.diff).as_bytes()),
            };
            chain = Some(id);
            LayerId::of_image(&id)
        });
        names.collect()
    }
}

/// Where a layer's bytes are.
#[derive(Clone, Debug)]
pub(super) struct LayerSource {
    /// Name of the file.
    pub(super) name: String,
    /// Digest and length of the file, where the image tells them.
    pub(super) stored: Option<(ImageDigest, u64)>,
    /// Digest of the uncompressed archive.
    pub(super) diff: ImageDigest,
}

/// Chooses in an OCI layout.
pub(super) fn in_layout(blobs: &Blobs, tag: Option<&str>, platform: &Platform) -> Result<Chosen, ImageError> {
    let Some(index) = read(blobs, "index.json", "index.json", None)? else {
        let path = blobs.path().to_owned();
        return Err(ImageError::WrongKind {
            path,
            expected: "an OCI image layout (it has no index.json)",
        });
    };
    let index: Node = parse(blobs, "index.json", &index)?;
    let top: Vec<Descriptor> = index
        .manifests
        .unwrap_or_default()
        .into_iter()
        .filter(Descriptor::is_image)
        .collect();
    let mut search = Search::new(platform);
    search.list(&by_tag(blobs, &top, tag)?);
    while let Some(looked_at) = search.next() {
        let bytes = blob(blobs, &looked_at, "manifest")?;
        let node: Node = parse(blobs, &looked_at.digest, &bytes)?;
        match node {
            Node {
                manifests: Some(manifests),
                ..
            } => search.list(&manifests),
            Node {
                config: Some(config),
                layers: Some(layers),
                ..
            } => {
                let digest = digest_of(blobs, &looked_at.digest)?;
                let image = image(blobs, digest, &config, &layers, platform);
                if let Some(chosen) = search.judge(image)? {
                    return Ok(chosen);
                }
            }
            Node { .. } => {
                return Err(ImageError::MediaType {
                    path: blobs.path().to_owned(),
                    what: "the manifest",
                    media_type: looked_at.media_type,
                });
            }
        }
    }
    Err(search.failed(blobs.path()))
}

/// Chooses in an archive of `docker save`.
pub(super) fn in_docker_archive(blobs: &Blobs, tag: Option<&str>, platform: &Platform) -> Result<Chosen, ImageError> {
    let path = || blobs.path().to_owned();
    let Some(manifest) = read(blobs, "manifest.json", "manifest.json", None)? else {
        let expected = "an archive of docker save (it has no manifest.json)";
        return Err(ImageError::WrongKind { path: path(), expected });
    };
    let images: Vec<DockerImage> = parse(blobs, "manifest.json", &manifest)?;
    let names = |image: &DockerImage| image.repo_tags.clone().unwrap_or_default();
    let fits = |image: &&DockerImage| tag.is_none_or(|tag| names(image).iter().any(|name| is_named(name, tag)));
    let mut fitting = images.iter().filter(fits);
    let (Some(DockerImage { config, layers, .. }), None) = (fitting.next(), fitting.next()) else {
        let found = images.iter().flat_map(names).collect();
        return Err(ImageError::Tag {
            path: path(),
            tag: tag.map(str::to_owned),
            found,
        });
    };

    let missing = |what, name: &str| ImageError::MissingBlob {
        path: path(),
        what,
        digest: name.to_owned(),
    };
    let bytes = read(blobs, config, config, None)?.ok_or_else(|| missing("configuration", config))?;
    let digest = sha256(&bytes);
    let stem = config.rsplit('/').next().unwrap_or(config).trim_end_matches(".json");
    if stem.len() == 64 && stem != digest.to_hex() {
        let (expected, found) = (format!("sha256:{stem}"), digest.to_string());
        return Err(ImageError::DigestMismatch {
            path: path(),
            what: "configuration",
            expected,
            found,
        });
    }
    let configuration: Configuration = parse(blobs, config, &bytes)?;
    check_platform(blobs, &configuration, platform)?;
    let diffs = diff_ids(blobs, &configuration, layers.len())?;
    let layers = layers.iter().zip(diffs).map(|(name, diff)| LayerSource {
        name: name.clone(),
        stored: None,
        diff,
    });
    Ok(Chosen {
        digest,
        layers: layers.collect(),
        configuration,
    })
}

/// An image of this manifest.
pub(super) fn image(
    blobs: &Blobs,
    digest: ImageDigest,
    config: &Descriptor,
    layers: &[Descriptor],
    platform: &Platform,
) -> Result<Chosen, ImageError> {
    let configuration: Configuration = parse(blobs, &config.digest, &blob(blobs, config, "configuration")?)?;
    check_platform(blobs, &configuration, platform)?;
    let diffs = diff_ids(blobs, &configuration, layers.len())?;
    let mut sources = Vec::new();
    for (layer, diff) in layers.iter().zip(diffs) {
        let media_type = &layer.media_type;
        if !media_type.contains(".tar") || media_type.ends_with("+encrypted") {
            let (path, media_type) = (blobs.path().to_owned(), media_type.clone());
            return Err(ImageError::MediaType {
                path,
                what: "a layer",
                media_type,
            });
        }
        let stored = digest_of(blobs, &layer.digest)?;
        sources.push(LayerSource {
            name: blob_name(&stored),
            stored: Some((stored, layer.size)),
            diff,
        });
    }
    Ok(Chosen {
        digest,
        configuration,
        layers: sources,
    })
}

/// The image with the tag; several where they are one for several platforms.
fn by_tag(blobs: &Blobs, top: &[Descriptor], tag: Option<&str>) -> Result<Vec<Descriptor>, ImageError> {
    let named = |image: &Descriptor, tag: &str| {
        [REF_NAME, CONTAINERD_NAME]
            .iter()
            .any(|key| image.annotation(key).is_some_and(|name| is_named(name, tag)))
    };
    let fitting: Vec<&Descriptor> = top
        .iter()
        .filter(|image| tag.is_none_or(|tag| named(image, tag)))
        .collect();
    let different = fitting.iter().any(|image| image.digest != fitting[0].digest);
    match fitting.first() {
        Some(image) if !different => Ok(vec![(*image).clone()]),
        Some(_) if fitting.iter().all(|image| image.platform().is_some()) => Ok(fitting.into_iter().cloned().collect()),
        _ => {
            let name = |image: &Descriptor| image.annotation(REF_NAME).unwrap_or(&image.digest).to_owned();
            let (path, tag) = (blobs.path().to_owned(), tag.map(str::to_owned));
            Err(ImageError::Tag {
                path,
                tag,
                found: top.iter().map(name).collect(),
            })
        }
    }
}

fn check_platform(blobs: &Blobs, configuration: &Configuration, platform: &Platform) -> Result<(), ImageError> {
    match configuration.platform() {
        Some(other) if !platform.accepts(&other) => Err(ImageError::Platform {
            path: blobs.path().to_owned(),
            wanted: platform.to_string(),
            found: vec![other.to_string()],
        }),
        _ => Ok(()),
    }
}

fn diff_ids(blobs: &Blobs, configuration: &Configuration, layers: usize) -> Result<Vec<ImageDigest>, ImageError> {
    let texts = configuration.rootfs.diff_ids.clone().unwrap_or_default();
    if texts.len() != layers {
        return Err(ImageError::LayerCount {
            path: blobs.path().to_owned(),
            manifest: layers,
            config: texts.len(),
        });
    }
    if layers > MAX_LAYERS {
        return Err(ImageError::TooManyLayers {
            path: blobs.path().to_owned(),
            layers,
            most: MAX_LAYERS,
        });
    }
    texts.iter().map(|text| digest_of(blobs, text)).collect()
}

/// Whether a name is the one that was asked for; Docker leaves its registry and `latest` out.
fn is_named(name: &str, wanted: &str) -> bool {
    let short = |name: &str| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        name.strip_suffix(":latest").unwrap_or(name).to_owned()
    };
    name == wanted || short(name) == short(wanted)
}

/// Reads a digest.
pub(super) fn digest_of(blobs: &Blobs, text: &str) -> Result<ImageDigest, ImageError> {
    let bad = || ImageError::BadDigest {
        path: blobs.path().to_owned(),
        digest: text.to_owned(),
    };
    digest::parse(text).ok_or_else(bad)
}

/// Where a layout has the file with this digest.
pub(super) fn blob_name(digest: &ImageDigest) -> String {
    format!("blobs/sha256/{}", digest.to_hex())
}

/// A document, checked against its descriptor.
fn blob(blobs: &Blobs, descriptor: &Descriptor, what: &'static str) -> Result<Vec<u8>, ImageError> {
    let expected = digest_of(blobs, &descriptor.digest)?;
    let (path, digest) = (|| blobs.path().to_owned(), || descriptor.digest.clone());
    let bytes =
        read(blobs, &blob_name(&expected), what, Some(descriptor.size))?.ok_or_else(|| ImageError::MissingBlob {
            path: path(),
            what,
            digest: digest(),
        })?;
    let length = bytes.len() as u64;
    if length != descriptor.size {
        let expected = descriptor.size;
        return Err(ImageError::SizeMismatch {
            path: path(),
            what,
            digest: digest(),
            expected,
            found: length,
        });
    }
    let found = sha256(&bytes);
    if found != expected {
        let (expected, found) = (digest(), found.to_string());
        return Err(ImageError::DigestMismatch {
            path: path(),
            what,
            expected,
            found,
        });
    }
    Ok(bytes)
}

/// A whole file; `None` when it isn't there. Where the length that it should have is known no more than one byte beyond
/// is read.
fn read(blobs: &Blobs, name: &str, what: &str, expected: Option<u64>) -> Result<Option<Vec<u8>>, ImageError> {
    let Some((reader, size)) = blobs.open(name)? else {
        return Ok(None);
    };
    let wanted = expected.unwrap_or(0).max(size);
    if wanted > MAX_DOCUMENT {
        let (path, what) = (blobs.path().to_owned(), what.to_owned());
        return Err(ImageError::TooLarge {
            path,
            what,
            size: wanted,
            limit: MAX_DOCUMENT,
        });
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(reader, MAX_DOCUMENT), &mut bytes)
        .map_err(FileError::at("read", blobs.path().join(name)))?;
    Ok(Some(bytes))
}

/// Reads a JSON document.
pub(super) fn parse<T: serde::de::DeserializeOwned>(blobs: &Blobs, what: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Json {
        path: blobs.path().to_owned(),
        what: what.to_owned(),
        source,
    })
}
