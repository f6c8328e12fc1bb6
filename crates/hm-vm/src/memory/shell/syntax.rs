//! The commands that a script is made of.

/// Commands one after the other.
pub(super) type List = Vec<AndOr>;

/// Pipelines joined by `&&` and `||`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Joint, Pipeline)>,
    /// Ended by `&`.
    pub(super) background: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Joint {
    And,
    Or,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Pipeline {
    /// Has `!` before it.
    pub(super) negated: bool,
    /// At least one.
    pub(super) commands: Vec<Command>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Command {
    pub(super) body: Body,
    pub(super) redirects: Vec<Redirect>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Body {
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    /// `( … )`
    Subshell(List),
    /// `{ …; }`
    Group(List),
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Redirect {
    /// 0, 1 or 2.
    pub(super) fd: u8,
    pub(super) to: Target,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Target {
    Read(Word),
    Write(Word),
    Append(Word),
    /// The same as this descriptor.
    Fd(u8),
}

/// Parts written without space between them.
pub(super) type Word = Vec<Part>;

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Part {
    /// Text that nothing is done to.
    Text { text: String, quoted: bool },
    /// `$X`, `${X}`, `${X:-default}`
    Variable {
        name: String,
        default: Option<Word>,
        quoted: bool,
    },
    /// `$(…)`
    Substitution { list: List, quoted: bool },
}
