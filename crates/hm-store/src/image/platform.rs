//! Which machines an image is for.

use std::fmt;

/// An operating system and processor, in the words of the OCI image specification ("Image Index", `platform`), which
/// are Go's `GOOS` and `GOARCH`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7` and the like; only where the architecture has variants.
    pub variant: Option<String>,
}

impl Platform {
    /// What this program was built for.
    pub fn of_this_machine() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Whether an image that says it is for `other` runs here.
    pub(super) fn accepts(&self, other: &Self) -> bool {
        let Self {
            os,
            architecture,
            variant,
        } = other;
        *os == self.os
            && *architecture == self.architecture
            && (variant.is_none() || self.variant.is_none() || *variant == self.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}
