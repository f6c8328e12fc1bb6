//! Which entries go.

use std::collections::{BTreeSet, HashMap};

/// A layer of the index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Layer {
    /// The layer that it stands on.
    pub(super) parent: Option<String>,
    /// What it takes on disk.
    pub(super) bytes: u64,
}

/// A cache entry with a layer. Ordered by when it was used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    /// In milliseconds since the epoch.
    pub(super) last_used: i64,
    pub(super) key: String,
    pub(super) layer: String,
}

/// What goes.
#[derive(PartialEq, Eq, Default, Debug)]
pub(super) struct Chosen {
    pub(super) keys: Vec<String>,
    /// Of the layers that nothing needs without these entries.
    pub(super) bytes: u64,
}

/// Who needs a layer.
#[derive(Default)]
struct Needs {
    entries: Vec<Entry>,
    children: usize,
}

/// Chooses the entries that were not used for longest, among those whose layer no other layer stands on: others free
/// nothing. Layers that no entry needs, also not by those above, are of no account; the sweep takes them.
pub(super) fn choose(layers: &HashMap<String, Layer>, entries: Vec<Entry>, max_bytes: u64) -> Chosen {
    let mut needs: HashMap<&str, Needs> = HashMap::new();
    let mut total = 0;
    for entry in entries {
        let Some((mut name, mut layer)) = layers.get_key_value(&entry.layer) else {
            continue;
        };
        let mut is_new = !needs.contains_key(name.as_str());
        needs.entry(name).or_default().entries.push(entry);
        // The layers below it, down to the first that is counted already.
        while is_new {
            total += layer.bytes;
            let Some(parent) = layer.parent.as_ref().and_then(|parent| layers.get_key_value(parent)) else {
                break;
            };
            (name, layer) = parent;
            is_new = !needs.contains_key(name.as_str());
            needs.entry(name).or_default().children += 1;
        }
    }
    let mut chosen = Chosen::default();
    if total <= max_bytes {
        return chosen;
    }
    let goal = max_bytes - max_bytes / 10;
    let uppermost = needs.values().filter(|needs| needs.children == 0);
    let mut free: BTreeSet<Entry> = uppermost.flat_map(|needs| needs.entries.iter().cloned()).collect();
    while total - chosen.bytes > goal
        && let Some(entry) = free.pop_first()
    {
        let mut top = layers.get_key_value(&entry.layer);
        if let Some(needs) = needs.get_mut(entry.layer.as_str()) {
            needs.entries.retain(|other| other.key != entry.key);
        }
        chosen.keys.push(entry.key);
        // What is needed by nothing any more, from the top down.
        while let Some((name, layer)) = top
            && needs
                .get(name.as_str())
                .is_some_and(|needs| needs.children == 0 && needs.entries.is_empty())
        {
            chosen.bytes += layer.bytes;
            top = layer.parent.as_ref().and_then(|parent| layers.get_key_value(parent));
            if let Some(below) = top.and_then(|(parent, _)| needs.get_mut(parent.as_str())) {
                below.children -= 1;
                if below.children == 0 {
                    free.extend(below.entries.iter().cloned());
                }
            }
        }
    }
    chosen
}
