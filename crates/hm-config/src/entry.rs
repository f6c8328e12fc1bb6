//! One value of one layer.

use crate::error::Origin;

/// A key with what a layer says for it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// With dots between its parts.
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i128),
    List(Vec<Value>),
    /// Of a type that no key has; in words.
    Other(&'static str),
    /// A variable or a flag: its text stands for whatever the key wants.
    Raw(String),
}

impl Value {
    pub(crate) fn in_words(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Raw(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::List(_) => "an array",
            Self::Other(words) => words,
        }
    }
}
