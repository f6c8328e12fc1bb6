//! Limits of images.

/// What an image may unpack to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageLimits {
    /// Bytes of one layer, uncompressed.
    pub layer_bytes: u64,
    /// Files, folders and so on of one layer.
    pub layer_entries: u64,
}

impl Default for ImageLimits {
    /// 64 GiB and ten million: far beyond real images, and less than what fills a disk unnoticed.
    fn default() -> Self {
        Self {
            layer_bytes: 64 << 30,
            layer_entries: 10_000_000,
        }
    }
}
