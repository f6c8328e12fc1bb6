//! What could not be taken over, line by line.

use std::cell::RefCell;

use super::yaml::Node;
use crate::output::on_one_line;

/// Something about one line of a workflow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Note {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Notes in the order they are taken.
#[derive(Default, Debug)]
pub(super) struct Notes(RefCell<Vec<Note>>);

impl Notes {
    /// Takes a note, which is one line also where names in it have several.
    pub(super) fn add(&self, line: usize, text: impl AsRef<str>) {
        let note = Note {
            line,
            text: on_one_line(text.as_ref()),
        };
        let mut notes = self.0.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Tells of a number whose text is kept though a workflow would not keep it.
    pub(super) fn add_number(&self, node: &Node) {
        if let (Some(short), Some(text)) = (node.shortened(), node.text()) {
            self.add(
                node.line,
                format!("`{text}` is kept as it is written; a workflow reads the number {short}"),
            );
        }
    }

    /// How many there are, to find those taken from here on.
    pub(super) fn mark(&self) -> usize {
        self.0.borrow().len()
    }

    /// Those taken since the mark.
    pub(super) fn since(&self, mark: usize) -> Vec<Note> {
        self.0.borrow().get(mark..).unwrap_or_default().to_vec()
    }

    /// All, line by line.
    pub(super) fn sorted(self) -> Vec<Note> {
        let mut notes = self.0.into_inner();
        notes.sort();
        notes
    }
}
