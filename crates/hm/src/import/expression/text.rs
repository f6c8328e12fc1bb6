//! Texts with expressions in them, as Python.

use std::collections::BTreeSet;

use super::parse::parse;
use super::quoting::{expands, filled};
use super::scope::{Meaning, Scope};
use crate::import::notes::Notes;
use crate::import::python::{self, Piece};

/// Where a text ends up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::import) enum Place {
    /// In a script of a shell, where variables can be written as the shell has them.
    Script,
    /// In a script of another language.
    Code,
    /// In a value, where they can't.
    Value,
}

/// Names of secrets that a script needs as variables.
pub(in crate::import) type Secrets = BTreeSet<String>;

/// A text and what it needs.
#[derive(Clone, Default, PartialEq, Debug)]
pub(in crate::import) struct Text {
    pub(in crate::import) pieces: Vec<Piece>,
    pub(in crate::import) secrets: Secrets,
}

impl Text {
    /// Python source that gives the text.
    pub(in crate::import) fn python(&self) -> String {
        python::text(&self.pieces)
    }

    /// The text, where nothing of it is for Python to say.
    pub(in crate::import) fn known(&self) -> Option<String> {
        let mut known = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => known.push_str(text),
                Piece::Python(_) => return None,
            }
        }
        Some(known)
    }
}

/// Takes a text apart. What an expression can't say is left out of it, with a note.
pub(in crate::import) fn text(source: &str, line: usize, scope: &Scope, place: Place, notes: &Notes) -> Text {
    let mut made = Text::default();
    let mut rest = source;
    let mut at = line;
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((inside, after)) = after.split_once("}}") else {
            break;
        };
        push_text(&mut made.pieces, before);
        at += before.matches('\n').count();
        let meaning = parse(inside).map_or(Meaning::Unknown, |expression| scope.meaning(&expression));
        match (meaning, place) {
            (Meaning::Known(text), _) => push_text(&mut made.pieces, &text),
            (Meaning::Python(source), _) => made.pieces.push(Piece::Python(source)),
            (Meaning::Variable(name), Place::Script | Place::Code) => {
                note_variable(&name, at, notes);
                push_variable(&mut made.pieces, &name, place);
            }
            (Meaning::Variable(name), Place::Value) => {
                notes.add(at, format!("`{name}` is that of the environment in which `hm` runs"));
                let name = python::quoted(&name, '\'');
                made.pieces.push(Piece::Python(format!("os.environ.get({name}, '')")));
            }
            (Meaning::Secret(name), Place::Script | Place::Code) => {
                push_variable(&mut made.pieces, &name, place);
                made.secrets.insert(name);
            }
            (Meaning::Secret(_), Place::Value) | (Meaning::Unknown, _) => {
                notes.add(at, format!("not mapped: `${{{{{inside}}}}}`, left empty"));
            }
        }
        at += inside.matches('\n').count();
        rest = after;
    }
    push_text(&mut made.pieces, rest);
    made
}

/// The value of a variable: for the shell to expand, or where it doesn't, for `filled` to put there.
fn push_variable(pieces: &mut Vec<Piece>, name: &str, place: Place) {
    let written = if place == Place::Script && expands(pieces) {
        format!("${{{name}}}")
    } else {
        filled(name)
    };
    push_text(pieces, &written);
}

/// What a hosted runner sets has to be given.
fn note_variable(name: &str, line: usize, notes: &Notes) {
    if name.starts_with("GITHUB_") {
        notes.add(
            line,
            format!("`{name}` is empty unless it is given: hm run -e {name}=..."),
        );
    }
}

/// The secret that a text consists of.
pub(in crate::import) fn only_secret(source: &str, scope: &Scope) -> Option<String> {
    let inside = source.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    match scope.meaning(&parse(inside)?) {
        Meaning::Secret(name) => Some(name),
        Meaning::Known(_) | Meaning::Python(_) | Meaning::Variable(_) | Meaning::Unknown => None,
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if text.is_empty() {
        return;
    }
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        last.push_str(text);
    } else {
        pieces.push(Piece::Text(text.to_owned()));
    }
}
