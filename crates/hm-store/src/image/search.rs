//! The search for a platform's image among lists, which may be in lists.

use std::path::Path;

use super::documents::Descriptor;
use super::{ImageError, Platform};

/// Greatest number of lists in lists.
const MAX_DEPTH: usize = 8;
/// Greatest number of documents that are looked at.
const MAX_TRIED: usize = 64;

/// What is still to be looked at. An entry that says nothing of its platform may turn out to be for another one, and is
/// then given up for the next.
pub(super) struct Search<'a> {
    platform: &'a Platform,
    /// With the number of lists that each is in; the next one last.
    waiting: Vec<(Descriptor, usize)>,
    depth: usize,
    tried: usize,
    /// The platforms that turned up.
    found: Vec<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(platform: &'a Platform) -> Self {
        Self {
            platform,
            waiting: Vec::new(),
            depth: 0,
            tried: 0,
            found: Vec::new(),
        }
    }

    /// Has these looked at before all others: what says that it is for the platform first.
    pub(super) fn list(&mut self, images: &[Descriptor]) {
        let depth = self.depth + 1;
        let images = images.iter().filter(|image| image.is_image());
        let (mut exact, mut fitting) = (Vec::new(), Vec::new());
        for image in images {
            match image.platform() {
                Some(other) if other == *self.platform => exact.push(image),
                Some(other) if !self.platform.accepts(&other) => self.saw(other.to_string()),
                _ => fitting.push(image),
            }
        }
        let likeliest_last = exact.into_iter().chain(fitting).rev();
        let within = likeliest_last.filter(|_| depth <= MAX_DEPTH);
        self.waiting.extend(within.map(|image| (image.clone(), depth)));
    }

    /// The next to be looked at.
    pub(super) fn next(&mut self) -> Option<Descriptor> {
        let (image, depth) = self.waiting.pop().filter(|_| self.tried < MAX_TRIED)?;
        self.depth = depth;
        self.tried += 1;
        Some(image)
    }

    /// The image if it is right; `None` where it is for another platform and the search goes on.
    ///
    /// # Errors
    /// Whatever else is wrong with it.
    pub(super) fn judge<T>(&mut self, looked_at: Result<T, ImageError>) -> Result<Option<T>, ImageError> {
        match looked_at {
            Err(ImageError::Platform { found, .. }) => {
                for platform in found {
                    self.saw(platform);
                }
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Nothing fits.
    pub(super) fn failed(self, path: &Path) -> ImageError {
        ImageError::Platform {
            path: path.to_owned(),
            wanted: self.platform.to_string(),
            found: self.found,
        }
    }

    fn saw(&mut self, platform: String) {
        if !self.found.contains(&platform) {
            self.found.push(platform);
        }
    }
}
