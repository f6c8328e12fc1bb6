//! Everything durable on this machine: layers, images, workspaces, snapshots, cache index, leases, journals.

mod cache;
mod clock;
mod durable;
mod error;
mod eviction;
mod files;
mod ids;
pub mod image;
mod index;
mod journal;
mod layout;
mod lease;
mod nanoseconds;
mod scratch;
mod snapshot;
mod store;
mod sweep;
mod work_queue;
pub mod workspace;

pub use cache::{Cache, CacheEntry, CacheError, KeyLock, NewCacheEntry};
pub use clock::{Clock, SystemClock};
pub use error::{FileError, IndexError, StoreError};
pub use eviction::Evicted;
pub use files::{Ids, Owners, XattrNamespace, remove_tree};
pub use ids::{CacheKey, ContentHash, DigestAlgorithm, IdError, ImageDigest, LayerId, LeaseId, TreeId};
pub use image::{ImageConfig, ImageError, ImageRef, ImageSettings, Images, Platform, ResolvedImage};
pub use index::Index;
pub use journal::{BuildMeta, BuildRecord, Builds, Journal, JournalError, JournalReader};
pub use layout::Layout;
pub use scratch::Scratch;
pub use snapshot::{NewSnapshot, SnapshotBase, SnapshotError, SnapshotKind, Snapshots, Stack};
pub use store::{Store, StoreSettings};
pub use sweep::SweepReport;
pub use workspace::{CaptureError, CaptureRequest, DeltaOp, Manifest, OnChange, Workspace, hash_paths};
