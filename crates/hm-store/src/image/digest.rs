//! SHA-256 digests in the form `sha256:HEX` (OCI image specification, "Digests").

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::ids::{DigestAlgorithm, ImageDigest};

/// The digest of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> ImageDigest {
    ImageDigest::new(DigestAlgorithm::Sha256, Sha256::digest(bytes).into())
}

/// Reads `sha256:HEX`.
pub(super) fn parse(text: &str) -> Option<ImageDigest> {
    text.parse()
        .ok()
        .filter(|digest: &ImageDigest| digest.algorithm() == DigestAlgorithm::Sha256)
}

/// Passes bytes on and hashes them; refuses more than `limit` of them.
pub(super) struct Hashing<R> {
    reader: R,
    hasher: Option<Sha256>,
    count: u64,
    limit: u64,
    over: bool,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(reader: R, limit: u64) -> Self {
        Self {
            reader,
            hasher: Some(Sha256::new()),
            count: 0,
            limit,
            over: false,
        }
    }

    /// Without the digest, where it is known already.
    pub(super) fn only_counting(reader: R, limit: u64) -> Self {
        Self {
            hasher: None,
            ..Self::new(reader, limit)
        }
    }

    /// Reads what is left.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// There was more than the limit.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The digest of all that was read.
    pub(super) fn finish(self) -> Option<ImageDigest> {
        let bytes = self.hasher?.finalize().into();
        Some(ImageDigest::new(DigestAlgorithm::Sha256, bytes))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..got]);
        }
        self.count += got as u64;
        if self.count > self.limit {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(got)
    }
}
