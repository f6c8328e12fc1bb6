//! What has to be done to a tree so that it becomes another.

use std::cmp::Ordering;

use super::manifest::{Entry, EntryKind, Manifest, path_order};

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeltaOp {
    /// Take the entry away.
    Remove {
        /// Path below the workspace's root.
        path: Box<[u8]>,
        /// It is a folder, empty of everything that the old tree had put there. What steps put there is still in it.
        dir: bool,
    },
    /// Put the new tree's entry there: make the folder or give it its mode, write the file, set the link. A file or link
    /// takes the place of a file or link.
    Put {
        /// Path below the workspace's root.
        path: Box<[u8]>,
    },
}

impl Manifest {
    /// What makes `new` out of `old`, in an order in which each operation finds what it needs: first all that goes, what
    /// a folder holds before the folder; then all that comes, a folder before what it holds. An entry that turns from a
    /// folder into something else, or the other way round, is removed and put. Times alone are no difference.
    pub fn diff(old: &Self, new: &Self) -> Vec<DeltaOp> {
        let mut removed = Vec::new();
        let mut put = Vec::new();
        for pair in Pairs::new(old.entries(), new.entries()) {
            match pair {
                Pair::Old(entry) => removed.push(remove(entry)),
                Pair::New(entry) => put.push(DeltaOp::Put {
                    path: entry.path.clone(),
                }),
                Pair::Both(was, is) => {
                    if was.same_content(is) {
                        continue;
                    }
                    if is_dir(was) != is_dir(is) {
                        removed.push(remove(was));
                    }
                    put.push(DeltaOp::Put { path: is.path.clone() });
                }
            }
        }
        removed.reverse();
        removed.append(&mut put);
        removed
    }
}

fn remove(entry: &Entry) -> DeltaOp {
    DeltaOp::Remove {
        path: entry.path.clone(),
        dir: is_dir(entry),
    }
}

fn is_dir(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Dir)
}

enum Pair<'a> {
    Old(&'a Entry),
    New(&'a Entry),
    Both(&'a Entry, &'a Entry),
}

/// Walks two sorted lists side by side.
struct Pairs<'a> {
    old: &'a [Entry],
    new: &'a [Entry],
}

impl<'a> Pairs<'a> {
    fn new(old: &'a [Entry], new: &'a [Entry]) -> Self {
        Self { old, new }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let order = match (self.old.first(), self.new.first()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => path_order(&old.path, &new.path),
        };
        let old = if order == Ordering::Greater {
            None
        } else {
            self.old.split_off_first()
        };
        let new = if order == Ordering::Less {
            None
        } else {
            self.new.split_off_first()
        };
        match (old, new) {
            (Some(old), Some(new)) => Some(Pair::Both(old, new)),
            (Some(old), None) => Some(Pair::Old(old)),
            (None, Some(new)) => Some(Pair::New(new)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::manifest::testing::{dir, file, link};
    use super::*;

    fn shown(old: Vec<Entry>, new: Vec<Entry>) -> Vec<String> {
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        Manifest::diff(&Manifest::new(old), &Manifest::new(new))
            .iter()
            .map(|op| match op {
                DeltaOp::Remove { path, dir: true } => format!("- {}/", text(path)),
                DeltaOp::Remove { path, dir: false } => format!("- {}", text(path)),
                DeltaOp::Put { path } => format!("+ {}", text(path)),
            })
            .collect()
    }

    #[test]
    fn removals_go_bottom_up_and_additions_top_down() {
        let old = vec![
            dir("a"),
            dir("a/b"),
            file("a/b/c", "1"),
            file("keep", "k"),
            file("z", "1"),
        ];
        let new = vec![file("keep", "k"), dir("n"), file("n/m", "1"), file("z", "2")];
        assert_eq!(shown(old, new), ["- a/b/c", "- a/b/", "- a/", "+ n", "+ n/m", "+ z"]);
    }

    #[test]
    fn a_change_of_kind_to_or_from_a_folder_removes_first() {
        let old = vec![
            dir("a"),
            file("a/x", "1"),
            file("b", "1"),
            file("c", "1"),
            link("d", "e"),
        ];
        let new = vec![
            file("a", "1"),
            dir("b"),
            file("b/y", "1"),
            link("c", "b"),
            file("d", "1"),
        ];
        assert_eq!(
            shown(old, new),
            ["- b", "- a/x", "- a/", "+ a", "+ b", "+ b/y", "+ c", "+ d"]
        );
    }

    #[test]
    fn times_alone_are_no_difference_but_modes_are() {
        let mut later = file("a", "1");
        later.mtime_ns = 9;
        assert!(shown(vec![file("a", "1")], vec![later]).is_empty());
        let mut exec = file("a", "1");
        exec.mode = 0o755;
        assert_eq!(shown(vec![file("a", "1")], vec![exec]), ["+ a"]);
    }

    /// A tree as a map; folders that entries need are added, and what is below a non-folder is dropped.
    fn tree() -> impl Strategy<Value = Manifest> {
        let name = prop::sample::select(vec!["a", "b", "a-", "a.b"]);
        let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
        prop::collection::btree_map(path, 0..4_u8, 0..12).prop_map(|wanted| {
            let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
            for (path, kind) in wanted {
                let parents: Vec<String> = path
                    .match_indices('/')
                    .map(|(at, _)| path.get(..at).unwrap().into())
                    .collect();
                if parents
                    .iter()
                    .any(|parent| entries.get(parent).is_some_and(|entry| !is_dir(entry)))
                {
                    continue;
                }
                for parent in parents {
                    entries.insert(parent.clone(), dir(&parent));
                }
                let entry = match kind {
                    0 => dir(&path),
                    1 => link(&path, "t"),
                    other => file(&path, &other.to_string()),
                };
                entries.entry(path).or_insert(entry);
            }
            Manifest::new(entries.into_values().collect())
        })
    }

    /// Does the operations as a file system would, refusing what it would refuse.
    fn apply(old: &Manifest, new: &Manifest, ops: &[DeltaOp]) -> Manifest {
        let mut state: BTreeMap<Box<[u8]>, Entry> = old.entries().iter().map(|e| (e.path.clone(), e.clone())).collect();
        for op in ops {
            match op {
                DeltaOp::Remove { path, dir } => {
                    let gone = state.remove(path).expect("it is there");
                    assert_eq!(is_dir(&gone), *dir);
                    assert!(!state.keys().any(|other| super::super::manifest::is_below(other, path)));
                }
                DeltaOp::Put { path } => {
                    let entry = new.get(path).expect("it is in the new tree");
                    if let Some(at) = path.iter().rposition(|byte| *byte == b'/') {
                        assert!(is_dir(&state[&path[..at]]));
                    }
                    if let Some(before) = state.get(path) {
                        assert_eq!(is_dir(before), is_dir(entry));
                    }
                    state.insert(path.clone(), entry.clone());
                }
            }
        }
        Manifest::new(state.into_values().collect())
    }

    proptest! {
        #[test]
        fn the_operations_make_the_new_tree((old, new) in (tree(), tree())) {
            let ops = Manifest::diff(&old, &new);
            prop_assert_eq!(apply(&old, &new, &ops), new.clone());
            prop_assert!(Manifest::diff(&new, &new).is_empty());
        }
    }
}
