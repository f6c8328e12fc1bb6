//! Snapshots as this process knows them: nodes that point to what they stand on.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use hm_plugin_protocol::SnapshotRef;

use crate::ids::{ContentHash, ImageDigest, LayerId, TreeId};
use crate::layout::Layout;

/// What a machine was booted from when its upper folder became a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnapshotBase {
    /// An image, with a workspace over it.
    Image {
        /// Identity of the image.
        digest: ImageDigest,
        /// Its layers, bottom first.
        image_layers: Vec<PathBuf>,
        /// The workspace that lay over them, where there was one.
        tree: Option<TreeId>,
    },
    /// Another snapshot.
    Snapshot(SnapshotRef),
}

/// What the new layer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotKind {
    /// What a step wrote.
    Step,
    /// The difference to a newer workspace; not part of the content hash.
    WorkspaceDelta {
        /// The workspace that the machine holds with it.
        tree: TreeId,
    },
}

/// A snapshot to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSnapshot {
    /// What the machine was booted from.
    pub base: SnapshotBase,
    /// What its upper folder holds.
    pub kind: SnapshotKind,
}

/// What to mount for a machine that boots from a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stack {
    /// The image at the bottom.
    pub image: ImageDigest,
    /// The workspace that the machine holds, deltas included.
    pub tree: Option<TreeId>,
    /// All layers, top first, down to the image's lowest.
    pub lower: Vec<PathBuf>,
    /// Number of layers above the workspace and the image; flattening makes it 1.
    pub depth: usize,
}

/// The image and workspace at the bottom of a stack; shared by all nodes over it.
#[derive(Debug)]
pub(crate) struct Foundation {
    pub(crate) digest: ImageDigest,
    /// Bottom first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) tree: Option<TreeId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) parent: Option<LayerId>,
    pub(crate) foundation: Arc<Foundation>,
    pub(crate) kind: SnapshotKind,
    pub(crate) flat: Option<LayerId>,
    /// Of its own layer; known once it was asked for.
    pub(crate) layer_hash: Option<ContentHash>,
    /// The index has it.
    pub(crate) persistent: bool,
    /// Who made it has not released it.
    pub(crate) held: bool,
    pub(crate) children: usize,
}

/// The nodes that this lease made or loaded.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: HashMap<LayerId, Node>,
}

impl Nodes {
    pub(crate) fn get(&self, id: &LayerId) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &LayerId) -> Option<&mut Node> {
        self.nodes.get_mut(id)
    }

    /// Enters nodes that the index has, unless they are known.
    pub(crate) fn load(&mut self, rows: Vec<(LayerId, Node)>) {
        for (id, node) in rows {
            self.nodes.entry(id).or_insert(node);
        }
    }

    /// Enters a node; its parent was counted by [`Nodes::hold_parent`].
    pub(crate) fn insert(&mut self, id: LayerId, node: Node) {
        self.nodes.insert(id, node);
    }

    /// Counts one more child of `id`, so that it stays.
    pub(crate) fn hold_parent(&mut self, id: &LayerId) -> Option<Arc<Foundation>> {
        let node = self.nodes.get_mut(id)?;
        node.children += 1;
        Some(Arc::clone(&node.foundation))
    }

    /// From `id` up to the root, with ids.
    pub(crate) fn chain<'a>(&'a self, id: &LayerId) -> impl Iterator<Item = (LayerId, &'a Node)> + use<'a> {
        let mut next = Some(id.clone());
        std::iter::from_fn(move || {
            let id = next.take()?;
            let node = self.nodes.get(&id)?;
            next.clone_from(&node.parent);
            Some((id, node))
        })
    }

    /// Takes the maker's hold off `id`, and gives the layers that nothing needs any more.
    pub(crate) fn release(&mut self, id: &LayerId) -> Vec<LayerId> {
        if let Some(node) = self.nodes.get_mut(id) {
            node.held = false;
        }
        self.prune(id)
    }

    /// Counts one child of `id` less, and gives the layers that nothing needs any more.
    pub(crate) fn release_parent(&mut self, id: &LayerId) -> Vec<LayerId> {
        if let Some(node) = self.nodes.get_mut(id) {
            node.children = node.children.saturating_sub(1);
        }
        self.prune(id)
    }

    fn prune(&mut self, id: &LayerId) -> Vec<LayerId> {
        let mut layers = Vec::new();
        let mut next = Some(id.clone());
        while let Some(id) = next.take() {
            let Some(node) = self.nodes.get(&id) else { break };
            if node.held || node.persistent || node.children > 0 {
                break;
            }
            let Some(node) = self.nodes.remove(&id) else { break };
            layers.push(id);
            layers.extend(node.flat);
            next = node.parent;
            if let Some(parent) = next.as_ref().and_then(|parent| self.nodes.get_mut(parent)) {
                parent.children = parent.children.saturating_sub(1);
            }
        }
        layers
    }

    /// Forgets all, and gives the layers that the index doesn't have.
    pub(crate) fn drain_transient(&mut self) -> Vec<LayerId> {
        let transient = self.nodes.drain().filter(|(_, node)| !node.persistent);
        transient
            .flat_map(|(id, node)| std::iter::once(id).chain(node.flat))
            .collect()
    }

    pub(crate) fn stack(&self, id: &LayerId, layout: &Layout) -> Option<Stack> {
        let foundation = Arc::clone(&self.nodes.get(id)?.foundation);
        let mut lower = Vec::new();
        let mut tree = None;
        let mut flattened = false;
        for (id, node) in self.chain(id) {
            if let (None, SnapshotKind::WorkspaceDelta { tree: held }) = (tree, node.kind) {
                tree = Some(held);
            }
            if flattened {
                continue;
            }
            lower.push(layout.layer(node.flat.as_ref().unwrap_or(&id)));
            flattened = node.flat.is_some();
        }
        let depth = lower.len();
        lower.extend(foundation.tree.as_ref().map(|tree| layout.workspace_layer(tree)));
        lower.extend(foundation.layers.iter().rev().cloned());
        Some(Stack {
            image: foundation.digest,
            tree: tree.or(foundation.tree),
            lower,
            depth,
        })
    }
}
