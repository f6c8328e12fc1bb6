//! The snapshots that this process made or uses, and when their images can go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hm_plugin_protocol::SnapshotRef;
use hm_store::ContentHash;
use tokio::sync::OnceCell;

use super::record::Record;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) record: Arc<Record>,
    pub(super) hash: Arc<OnceCell<ContentHash>>,
    /// This process made it.
    pub(super) own: bool,
    held: bool,
    children: usize,
    /// Later ones stand on earlier ones.
    number: usize,
}

#[derive(Debug, Default)]
pub(super) struct Nodes {
    by_snapshot: HashMap<SnapshotRef, Node>,
    /// How many nodes are of an image.
    images: HashMap<String, usize>,
    count: usize,
}

impl Nodes {
    pub(super) fn get(&self, snapshot: &SnapshotRef) -> Option<&Node> {
        self.by_snapshot.get(snapshot)
    }

    /// Enters a snapshot; one that is already known stays as it is.
    pub(super) fn enter(&mut self, snapshot: &SnapshotRef, record: Record, own: bool) -> Node {
        if let Some(known) = self.by_snapshot.get(snapshot) {
            return known.clone();
        }
        if let Some(parent) = record
            .parent
            .as_ref()
            .and_then(|parent| self.by_snapshot.get_mut(parent))
        {
            parent.children += 1;
        }
        *self.images.entry(record.image.clone()).or_default() += 1;
        self.count += 1;
        let node = Node {
            record: Arc::new(record),
            hash: Arc::default(),
            own,
            held: own,
            children: 0,
            number: self.count,
        };
        self.by_snapshot.insert(snapshot.clone(), node.clone());
        node
    }

    /// Takes the maker's hold off a snapshot; the images that nothing needs any more, those on top first.
    pub(super) fn release(
        &mut self,
        snapshot: &SnapshotRef,
        is_persistent: impl Fn(&SnapshotRef) -> bool,
    ) -> Vec<String> {
        if let Some(node) = self.by_snapshot.get_mut(snapshot) {
            node.held = false;
        }
        let mut gone = Vec::new();
        let mut next = Some(snapshot.clone());
        while let Some(id) = next.take() {
            let Some(node) = self.by_snapshot.get(&id) else { break };
            if node.held || node.children > 0 || !node.own || is_persistent(&id) {
                break;
            }
            let Some(node) = self.by_snapshot.remove(&id) else {
                break;
            };
            gone.extend(self.image_less(&node.record.image));
            next.clone_from(&node.record.parent);
            if let Some(parent) = next.as_ref().and_then(|parent| self.by_snapshot.get_mut(parent)) {
                parent.children = parent.children.saturating_sub(1);
            }
        }
        gone
    }

    /// The images that something refers to.
    pub(super) fn kept_images(&self, is_persistent: impl Fn(&SnapshotRef) -> bool) -> HashSet<String> {
        let kept = self.by_snapshot.iter().filter(|(id, _)| is_persistent(id));
        kept.map(|(_, node)| node.record.image.clone()).collect()
    }

    /// Forgets all; the images that this process made and that nothing refers to, those on top first.
    pub(super) fn drain(&mut self, is_persistent: impl Fn(&SnapshotRef) -> bool) -> Vec<String> {
        let mut nodes: Vec<_> = self.by_snapshot.drain().collect();
        nodes.sort_unstable_by_key(|(_, node)| std::cmp::Reverse(node.number));
        nodes.retain(|(id, node)| node.own && !is_persistent(id));
        nodes
            .iter()
            .filter_map(|(_, node)| self.image_less(&node.record.image))
            .collect()
    }

    fn image_less(&mut self, image: &str) -> Option<String> {
        let count = self.images.get_mut(image)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.images.remove(image);
        Some(image.to_owned())
    }
}
