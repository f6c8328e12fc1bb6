//! Places in a document.

use std::fmt;

/// A JSON pointer (RFC 6901) as a linked list on the stack, written out only when there is something to say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pointer<'a> {
    Root,
    Member(&'a Pointer<'a>, &'a str),
    Item(&'a Pointer<'a>, usize),
}

impl Pointer<'_> {
    pub(super) fn member<'a>(&'a self, name: &'a str) -> Pointer<'a> {
        Pointer::Member(self, name)
    }

    pub(super) fn item(&self, position: usize) -> Pointer<'_> {
        Pointer::Item(self, position)
    }

    /// The last token, for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Pointer::Root => "the document".to_owned(),
            Pointer::Member(_, name) => format!("`{name}`"),
            Pointer::Item(of, position) => format!("item {position} of {}", of.name()),
        }
    }
}

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pointer::Root => Ok(()),
            Pointer::Member(of, name) => write!(f, "{of}/{}", name.replace('~', "~0").replace('/', "~1")),
            Pointer::Item(of, position) => write!(f, "{of}/{position}"),
        }
    }
}
