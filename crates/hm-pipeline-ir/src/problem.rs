//! What is wrong with a document, all of it at once.

use std::fmt;

use serde::Serialize;

/// The document is refused; it holds every problem that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IrError {
    /// At least one, in document order within each kind of check.
    pub problems: Vec<Problem>,
}

impl fmt::Display for IrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => write!(f, "the pipeline is not valid: {only}"),
            many => {
                write!(f, "the pipeline has {} problems", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n{problem}"))
            }
        }
    }
}

impl std::error::Error for IrError {}

/// One thing that is wrong or odd.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// What kind of thing; stable.
    pub code: ProblemCode,
    /// Where: a JSON pointer (RFC 6901) into the document; empty for the document as a whole.
    pub pointer: String,
    /// What, for people.
    pub message: String,
    /// How to mend it, for people.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        write!(f, "{} ({})", self.message, self.hint)
    }
}

/// What kind of problem; the word on the wire is the name in snake case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// Not JSON.
    Syntax,
    /// A `version` that this engine does not read.
    UnsupportedVersion,
    /// A member that must be there is not.
    MissingField,
    /// A member that stands twice in its object.
    RepeatedField,
    /// A value of another JSON type than the one that must be there.
    WrongType,
    /// A number or a list outside its limits.
    OutOfRange,
    /// A word that is not one of the known ones.
    UnknownValue,
    /// A text that no process can be given (a NUL byte, or `=` in the name of a variable).
    InvalidText,
    /// A cache policy that is not known and has no `key` to stand in for it.
    UnknownCachePolicy,
    /// A budget of 0.
    ZeroTimeout,
    /// The graph has holes.
    Holes,
    /// The graph is not directed.
    Undirected,
    /// An edge kind other than `builds_in` and `depends_on`.
    UnknownEdgeKind,
    /// An edge names a node that is not there.
    IndexOutOfRange,
    /// An edge from a node to itself.
    SelfLoop,
    /// Steps that wait for each other.
    Cycle,
    /// A step key of no characters.
    EmptyKey,
    /// A step key that another step has.
    DuplicateKey,
    /// A step that boots from two snapshots.
    SecondParent,
    /// Warning: a member that is not known.
    UnknownField,
    /// Warning: a step that boots from a snapshot names an image too.
    IgnoredImage,
    /// Warning: an edge that is there already.
    RepeatedEdge,
}

/// Problems refuse the document, warnings don't.
#[derive(Default, Debug)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Findings {
    pub(crate) fn problem(
        &mut self,
        code: ProblemCode,
        pointer: impl fmt::Display,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem {
            code,
            pointer: pointer.to_string(),
            message: message.into(),
            hint: hint.into(),
        });
    }

    pub(crate) fn warning(
        &mut self,
        code: ProblemCode,
        pointer: impl fmt::Display,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.warnings.push(Problem {
            code,
            pointer: pointer.to_string(),
            message: message.into(),
            hint: hint.into(),
        });
    }
}
