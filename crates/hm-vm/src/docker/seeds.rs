//! Images with a tree that outlive their build, so that an unchanged tree is never sent again and of another one only
//! what differs.
//!
//! They lie in a fixed number of places. Each place is an entry of the store's cache under a key of its own: so what is in
//! it is kept, and what was in it before goes, by the same rules as the snapshots of cached steps.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hm_plugin_protocol::{RunId, SnapshotRef};
use hm_store::workspace::Workspace;
use hm_store::{CacheKey, NewCacheEntry};
use uuid::Uuid;

use super::image::DockerImage;
use super::nodes::Node;
use super::plan::Plan;
use super::record::Record;
use super::shared::{Shared, snapshot_error};
use crate::machine::VmError;

/// Trees that are kept, over all images and folders.
const PLACES: u8 = 4;
/// Layers that a seed may have on top of its image, each with what differs from the one below.
const LAYERS: usize = 12;
/// What the cache says of such an entry instead of a step's key.
const STEP_KEY: &str = "docker seed";

/// A seed of an earlier build, or of one that runs beside.
#[derive(Debug)]
struct Kept {
    place: CacheKey,
    snapshot: SnapshotRef,
    record: Arc<Record>,
}

impl Shared {
    /// The image with the workspace: one that is kept, or a new one, which is kept from then on.
    pub(super) async fn kept_seed(
        &self,
        image: &DockerImage,
        workspace: &Arc<Workspace>,
    ) -> Result<SnapshotRef, VmError> {
        let kept = self.kept_seeds(image).await?;
        let same = kept.iter().find(|seed| seed.record.tree == Some(workspace.tree));
        if let Some(same) = same {
            return Ok(same.snapshot.clone());
        }
        let can_grow = kept.iter().filter(|seed| seed.record.depth < image.depth + LAYERS);
        let plans = can_grow.filter_map(|seed| Some((seed, self.plan_from(&seed.record, workspace)?)));
        if let Some((older, plan)) = plans.min_by_key(|(_, plan)| plan.size()) {
            // Whatever is wrong with the older one: a new one doesn't need it.
            if let Ok(snapshot) = self.make_next_seed(&older.record, workspace, &plan).await {
                self.keep_seed(older.place, &snapshot)?;
                return Ok(snapshot);
            }
        }
        let snapshot = self.make_seed(image, Some(workspace)).await?;
        let _choosing = self.seed_places.lock().unwrap_or_else(PoisonError::into_inner);
        self.keep_seed(self.free_place()?, &snapshot)?;
        Ok(snapshot)
    }

    /// The seeds of the image that the engine still has.
    async fn kept_seeds(&self, image: &DockerImage) -> Result<Vec<Kept>, VmError> {
        let mut kept = Vec::new();
        for place in (0..PLACES).map(key) {
            let entry = self.store.cache().lookup(&place).map_err(snapshot_error)?;
            let Some(snapshot) = entry.and_then(|entry| entry.snapshot) else {
                continue;
            };
            let Ok(Node { record, .. }) = self.node(&snapshot) else {
                continue;
            };
            if record.base == image.base && matches!(self.inspect(&record.image).await, Ok(Some(_))) {
                kept.push(Kept {
                    place,
                    snapshot,
                    record,
                });
            }
        }
        Ok(kept)
    }

    /// How the workspace is made of a seed's tree, where that is much less than sending all of it.
    fn plan_from(&self, seed: &Record, workspace: &Workspace) -> Option<Plan> {
        let old = self.store.manifest(&seed.tree?).ok()?;
        let plan = Plan::exact(&old, &workspace.manifest);
        (plan.size() * 2 <= workspace.manifest.entries().len()).then_some(plan)
    }

    /// A place in which nothing is, else that of the oldest.
    fn free_place(&self) -> Result<CacheKey, VmError> {
        let mut oldest = None;
        for place in (0..PLACES).map(key) {
            let Some(entry) = self.store.cache().lookup(&place).map_err(snapshot_error)? else {
                return Ok(place);
            };
            oldest = oldest
                .into_iter()
                .chain([(entry.created_at, place)])
                .min_by_key(|(at, _)| *at);
        }
        Ok(oldest.map_or_else(|| key(0), |(_, place)| place))
    }

    fn keep_seed(&self, place: CacheKey, snapshot: &SnapshotRef) -> Result<(), VmError> {
        let entry = NewCacheEntry {
            key: place,
            snapshot: Some(snapshot.clone()),
            state: None,
            log: None,
            duration: Duration::ZERO,
            run_id: RunId(Uuid::nil()),
            step_key: STEP_KEY.to_owned(),
            parts: serde_json::Value::Null,
        };
        self.store.cache().commit(&entry).map_err(snapshot_error)
    }
}

/// The key of a place.
fn key(place: u8) -> CacheKey {
    let mut hasher = blake3::Hasher::new_derive_key("hm-vm docker seed place 1");
    hasher.update(&[place]);
    hasher.finalize().into()
}
