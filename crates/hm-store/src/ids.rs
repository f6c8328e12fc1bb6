//! Names of things in the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A text that is not the id it should be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum IdError {
    /// Not 64 lower-case hexadecimal digits.
    #[error("{0:?} is not a hash of 64 lower-case hexadecimal digits")]
    Hash(String),
    /// Not `sha256:` or `blake3:` and a hash.
    #[error("{0:?} is not a digest (sha256:HEX or blake3:HEX)")]
    Digest(String),
    /// Not a layer's name.
    #[error("{0:?} is not the name of a layer")]
    Layer(String),
    /// Not 8 characters of a-z and 2-7.
    #[error("{0:?} is not a lease (8 characters of a-z and 2-7)")]
    Lease(String),
}

fn parse_hash(text: &str) -> Result<[u8; 32], IdError> {
    let wrong = || IdError::Hash(text.to_owned());
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(wrong());
    }
    blake3::Hash::from_hex(text).map(Into::into).map_err(|_| wrong())
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id with these bytes.
            pub fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// 64 lower-case hexadecimal digits.
            pub fn to_hex(&self) -> String {
                blake3::Hash::from(self.0).to_hex().to_string()
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(hash.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&blake3::Hash::from(self.0).to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_hash(text).map(Self)
            }
        }

        text_serde!($name);
    };
}

hash_id! {
    /// A captured workspace: BLAKE3 over names, types, modes, link targets and contents.
    TreeId
}

hash_id! {
    /// What a step's result depends on: BLAKE3 over the encoded parts.
    CacheKey
}

hash_id! {
    /// The state of a machine's disk: BLAKE3 over the image and the steps' layers.
    ContentHash
}

/// Which hash function an [`ImageDigest`] is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DigestAlgorithm {
    /// SHA-256: images that came as archives (OCI image specification, "Digests").
    Sha256,
    /// BLAKE3: images that are folders of this machine.
    Blake3,
}

/// The identity of an image: `sha256:HEX` or `blake3:HEX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest {
    algorithm: DigestAlgorithm,
    bytes: [u8; 32],
}

impl ImageDigest {
    /// The digest with these bytes.
    pub fn new(algorithm: DigestAlgorithm, bytes: [u8; 32]) -> Self {
        Self { algorithm, bytes }
    }

    /// Which hash function it is of.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// 64 lower-case hexadecimal digits, without the algorithm.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from(self.bytes).to_hex().to_string()
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = match self.algorithm {
            DigestAlgorithm::Sha256 => "sha256",
            DigestAlgorithm::Blake3 => "blake3",
        };
        write!(f, "{algorithm}:{}", blake3::Hash::from(self.bytes).to_hex())
    }
}

impl fmt::Debug for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageDigest({self})")
    }
}

impl FromStr for ImageDigest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Digest(text.to_owned());
        let (algorithm, hash) = text.split_once(':').ok_or_else(wrong)?;
        let algorithm = match algorithm {
            "sha256" => DigestAlgorithm::Sha256,
            "blake3" => DigestAlgorithm::Blake3,
            _ => return Err(wrong()),
        };
        Ok(Self::new(algorithm, parse_hash(hash).map_err(|_| wrong())?))
    }
}

text_serde!(ImageDigest);

/// The name of a folder under `l/`.
///
/// `LEASE-N` is the layer of a step, `fLEASE-N` a flattened one, `iHEX` one of an image. It is a file name: lower-case
/// letters, digits and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LayerId(String);

impl LayerId {
    /// The `n`th layer that `lease` makes.
    pub(crate) fn of_step(lease: &LeaseId, n: u64) -> Self {
        Self(format!("{lease}-{}", base36(n)))
    }

    /// The `n`th layer that `lease` makes, holding several merged ones.
    pub(crate) fn flattened(lease: &LeaseId, n: u64) -> Self {
        Self(format!("f{lease}-{}", base36(n)))
    }

    /// A layer of an image, named by the first 20 hexadecimal digits of its digest.
    pub fn of_image(digest: &ImageDigest) -> Self {
        let mut name = digest.to_hex();
        name.truncate(20);
        name.insert(0, 'i');
        Self(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LayerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            return Err(IdError::Layer(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

text_serde!(LayerId);

pub(crate) const LEASE_LENGTH: usize = 8;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// One living use of the store by one process: 8 characters of a-z and 2-7 (RFC 4648 §6, lower case).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId(String);

impl LeaseId {
    /// A new one, random.
    pub(crate) fn random() -> Self {
        let bytes = uuid::Uuid::new_v4().into_bytes();
        let letter = |byte: &u8| char::from(BASE32[usize::from(byte & 31)]);
        Self(bytes.iter().take(LEASE_LENGTH).map(letter).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LeaseId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != LEASE_LENGTH || !text.bytes().all(|byte| BASE32.contains(&byte)) {
            return Err(IdError::Lease(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

text_serde!(LeaseId);

fn base36(mut n: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut reversed = Vec::new();
    loop {
        let digit = usize::try_from(n % 36).unwrap_or_default();
        reversed.push(char::from(DIGITS[digit]));
        n /= 36;
        if n == 0 {
            return reversed.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_as_text() {
        let hash = blake3::hash(b"x");
        let key = CacheKey::from(hash);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.to_hex().len(), 64);
        let digest = ImageDigest::new(DigestAlgorithm::Sha256, hash.into());
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let lease = LeaseId::random();
        assert_eq!(lease.as_str().parse(), Ok(lease.clone()));
        let layer = LayerId::of_step(&lease, 36);
        assert_eq!(layer.as_str(), format!("{lease}-10"));
        assert_eq!(layer.as_str().parse(), Ok(layer));
    }

    #[test]
    fn other_texts_are_refused() {
        let upper = "A".repeat(64);
        assert_eq!(upper.parse::<TreeId>(), Err(IdError::Hash(upper.clone())));
        assert!("abc".parse::<TreeId>().is_err());
        assert!("md5:00".parse::<ImageDigest>().is_err());
        assert!("../x".parse::<LayerId>().is_err());
        assert!("".parse::<LayerId>().is_err());
        assert!("abcdefg1".parse::<LeaseId>().is_err());
    }
}
