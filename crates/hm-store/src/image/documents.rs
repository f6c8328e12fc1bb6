//! The JSON documents of images: OCI image specification ("Image Index", "Image Manifest", "Image Configuration"), Docker's
//! image manifest version 2 schema 2, and the `manifest.json` of `docker save`. Only what is needed is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ImageConfig, Platform};

/// Name of an image in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Whole name of an image, in layouts that containerd and Docker write.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Points to a document or layer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) platform: Option<DescriptorPlatform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct DescriptorPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl Descriptor {
    /// The platform it says it is for.
    pub(super) fn platform(&self) -> Option<Platform> {
        let DescriptorPlatform {
            os,
            architecture,
            variant,
        } = self.platform.as_ref()?;
        platform(os, architecture, variant.as_deref())
    }

    /// Whether it is an image, and not a statement about one.
    pub(super) fn is_image(&self) -> bool {
        self.annotation(REFERENCE_TYPE).is_none()
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// An index or a manifest, told by what it has.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Node {
    #[serde(default)]
    pub(super) manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    pub(super) config: Option<Descriptor>,
    #[serde(default)]
    pub(super) layers: Option<Vec<Descriptor>>,
}

/// An image's configuration.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Configuration {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    config: Option<Process>,
    pub(super) rootfs: RootFs,
}

#[derive(Clone, Default, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    working_dir: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RootFs {
    #[serde(default)]
    pub(super) diff_ids: Option<Vec<String>>,
}

impl Configuration {
    pub(super) fn platform(&self) -> Option<Platform> {
        platform(&self.os, &self.architecture, self.variant.as_deref())
    }

    /// What it says about processes. A variable without `=` has no value and is left out, as is one without a name.
    pub(super) fn image_config(&self) -> ImageConfig {
        let Process { env, user, working_dir } = self.config.clone().unwrap_or_default();
        let variable = |text: String| {
            text.split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        ImageConfig {
            env: env.unwrap_or_default().into_iter().filter_map(variable).collect(),
            user: said(user),
            working_dir: said(working_dir),
        }
    }
}

/// One image of a `docker save` archive.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Vec<String>,
}

fn platform(os: &str, architecture: &str, variant: Option<&str>) -> Option<Platform> {
    if os.is_empty() || architecture.is_empty() || os == "unknown" {
        return None;
    }
    Some(Platform {
        os: os.to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.filter(|variant| !variant.is_empty()).map(str::to_owned),
    })
}
