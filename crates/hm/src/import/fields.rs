//! The members of a map, with those that nobody asked for told at the end.

use std::cell::RefCell;

use super::notes::Notes;
use super::yaml::{Node, Value};

/// A map that is read member by member.
pub(super) struct Fields<'a> {
    entries: Vec<(&'a str, usize, &'a Node)>,
    taken: RefCell<Vec<&'a str>>,
}

impl<'a> Fields<'a> {
    /// The members of `node`; none, with a note, where it is no map.
    pub(super) fn of(node: &'a Node, what: &str, notes: &Notes) -> Self {
        let mut entries = Vec::new();
        match &node.value {
            Value::Map(pairs) => {
                for (key, value) in pairs {
                    match key.text() {
                        Some(name) => entries.push((name, key.line, value)),
                        None => notes.add(key.line, format!("not mapped: a key of {what} that is no text")),
                    }
                }
            }
            Value::Scalar { .. } | Value::List(_) if node.is_empty() => {}
            Value::Scalar { .. } | Value::List(_) => notes.add(node.line, format!("not mapped: {what} is no map")),
        }
        Self {
            entries,
            taken: RefCell::default(),
        }
    }

    /// The value of a member, which counts as read.
    pub(super) fn take(&self, name: &'a str) -> Option<&'a Node> {
        self.taken.borrow_mut().push(name);
        self.look(name)
    }

    /// As [`Fields::take`], with the line of the key.
    pub(super) fn take_with_line(&self, name: &'a str) -> Option<(usize, &'a Node)> {
        let node = self.take(name)?;
        let entry = self.entries.iter().find(|entry| entry.0 == name);
        Some((entry.map_or(node.line, |entry| entry.1), node))
    }

    /// The value of a member.
    pub(super) fn look(&self, name: &str) -> Option<&'a Node> {
        let found = self.entries.iter().find(|entry| entry.0 == name);
        found.map(|entry| entry.2)
    }

    /// Members that mean nothing here.
    pub(super) fn drop_silently(&self, names: &[&'a str]) {
        self.taken.borrow_mut().extend(names);
    }

    /// Notes every member that was not read.
    pub(super) fn note_rest(&self, what: &str, notes: &Notes) {
        let taken = self.taken.borrow();
        for (name, line, _) in &self.entries {
            if !taken.contains(name) {
                notes.add(*line, format!("not mapped: `{name}` of {what}"));
            }
        }
    }
}
