//! Snapshots in the index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::error::IndexError;
use crate::ids::{IdError, LayerId};
use crate::snapshot::node::{Foundation, Node, SnapshotKind};

const COLUMNS: &str = "SELECT parent, kind, image, image_layers, base_tree, tree, flat, layer_hash FROM snapshots
    WHERE id = ?1 AND (durable = 1 OR boot = ?2)";

#[derive(Debug)]
struct RawRow {
    parent: Option<String>,
    kind: String,
    image: String,
    image_layers: Option<String>,
    base_tree: Option<String>,
    tree: Option<String>,
    flat: Option<String>,
    layer_hash: Option<String>,
}

/// The snapshot `id` with all that it stands on, root first; nothing where a part of it is missing.
pub(crate) fn load(
    index: &Connection,
    root: &Path,
    boot: &str,
    id: &LayerId,
) -> Result<Vec<(LayerId, Node)>, IndexError> {
    let mut rows = Vec::new();
    let mut next = Some(id.clone());
    while let Some(id) = next.take() {
        let Some(row) = index
            .prepare_cached(COLUMNS)?
            .query_row(params![id.as_str(), boot], raw_row)
            .optional()?
        else {
            return Ok(Vec::new());
        };
        next = parse(row.parent.as_deref(), "parent")?;
        rows.push((id, row));
    }
    let Some((_, bottom)) = rows.last() else {
        return Ok(Vec::new());
    };
    let foundation = Arc::new(foundation(bottom, root)?);
    rows.into_iter()
        .rev()
        .map(|(id, row)| Ok((id, node(&row, &foundation)?)))
        .collect()
}

/// Enters a snapshot, unless the index has it.
pub(crate) fn insert(
    change: &Transaction<'_>,
    root: &Path,
    boot: &str,
    id: &LayerId,
    node: &Node,
) -> Result<(), IndexError> {
    let foundation = &node.foundation;
    let is_root = node.parent.is_none();
    let image_layers = if is_root {
        Some(relative_layers(root, &foundation.layers)?)
    } else {
        None
    };
    let (kind, tree) = match node.kind {
        SnapshotKind::Step => ("step", None),
        SnapshotKind::WorkspaceDelta { tree } => ("delta", Some(tree)),
    };
    change
        .prepare_cached(
            "INSERT OR IGNORE INTO snapshots
                (id, parent, kind, image, image_layers, base_tree, tree, flat, layer_hash, boot)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            id.as_str(),
            node.parent.as_ref().map(LayerId::as_str),
            kind,
            foundation.digest.to_string(),
            image_layers,
            foundation.tree.filter(|_| is_root).map(|tree| tree.to_hex()),
            tree.map(|tree| tree.to_hex()),
            node.flat.as_ref().map(LayerId::as_str),
            node.layer_hash.map(|hash| hash.to_hex()),
            boot,
        ])?;
    Ok(())
}

/// Layers of the store are kept relative to its root, so that it can be moved.
fn relative_layers(root: &Path, layers: &[PathBuf]) -> Result<String, IndexError> {
    let relative: Vec<&Path> = layers
        .iter()
        .map(|layer| layer.strip_prefix(root).unwrap_or(layer))
        .collect();
    serde_json::to_string(&relative).map_err(|source| IndexError::BadJson {
        what: "image layer",
        source,
    })
}

fn raw_row(row: &Row<'_>) -> Result<RawRow, rusqlite::Error> {
    Ok(RawRow {
        parent: row.get(0)?,
        kind: row.get(1)?,
        image: row.get(2)?,
        image_layers: row.get(3)?,
        base_tree: row.get(4)?,
        tree: row.get(5)?,
        flat: row.get(6)?,
        layer_hash: row.get(7)?,
    })
}

fn foundation(row: &RawRow, root: &Path) -> Result<Foundation, IndexError> {
    let layers: Vec<PathBuf> =
        serde_json::from_str(row.image_layers.as_deref().unwrap_or("[]")).map_err(|source| IndexError::BadJson {
            what: "image layer",
            source,
        })?;
    let bad = |source| IndexError::BadId { what: "image", source };
    Ok(Foundation {
        digest: row.image.parse().map_err(bad)?,
        // Joining leaves absolute paths as they are.
        layers: layers.into_iter().map(|layer| root.join(layer)).collect(),
        tree: parse(row.base_tree.as_deref(), "tree")?,
    })
}

fn node(row: &RawRow, foundation: &Arc<Foundation>) -> Result<Node, IndexError> {
    let kind = match parse(row.tree.as_deref(), "tree")? {
        Some(tree) if row.kind == "delta" => SnapshotKind::WorkspaceDelta { tree },
        _ => SnapshotKind::Step,
    };
    Ok(Node {
        parent: parse(row.parent.as_deref(), "parent")?,
        foundation: Arc::clone(foundation),
        kind,
        flat: parse(row.flat.as_deref(), "flattened layer")?,
        layer_hash: parse(row.layer_hash.as_deref(), "layer hash")?,
        persistent: true,
        held: false,
        children: 0,
    })
}

fn parse<T: std::str::FromStr<Err = IdError>>(text: Option<&str>, what: &'static str) -> Result<Option<T>, IndexError> {
    text.map(str::parse)
        .transpose()
        .map_err(|source| IndexError::BadId { what, source })
}
