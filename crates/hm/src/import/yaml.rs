//! YAML with the line of everything, scalars as they are written: `3.10` stays apart from `3.1`.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// A value and where it begins.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// A scalar; `plain` where it has no quotes, so that `null` and `true` may mean something.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the document.
    Map(Vec<(Node, Node)>),
}

/// A document that can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum YamlError {
    /// The text is not YAML.
    #[error("{}", .0.info())]
    Syntax(#[from] ScanError),
    /// Something that is YAML but no workflow has.
    #[error("{what}")]
    Unusable {
        /// From 1.
        line: usize,
        what: &'static str,
    },
    /// A job that can never begin.
    #[error("{what}")]
    Needs {
        /// From 1.
        line: usize,
        what: String,
    },
}

impl YamlError {
    /// The line of it, from 1.
    pub(crate) fn line(&self) -> usize {
        match self {
            Self::Syntax(error) => error.marker().line(),
            Self::Unusable { line, .. } | Self::Needs { line, .. } => *line,
        }
    }
}

/// Nodes with aliases spelled out: what a workflow could ever need, and far from what a machine holds.
const MOST_NODES: usize = 200_000;
/// Lists and maps in each other.
const DEEPEST: usize = 100;

/// Reads the only document of a text.
pub(super) fn parse(text: &str) -> Result<Node, YamlError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        builder.take(event, span)?;
    }
    builder.done.ok_or(YamlError::Unusable {
        line: 1,
        what: "the file is empty",
    })
}

/// A list or map that is not ended yet.
struct Open {
    line: usize,
    anchor: usize,
    is_map: bool,
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    count: usize,
    done: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                self.add(Node { line, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.start(line, anchor, false),
            Event::MappingStart(anchor, _) => self.start(line, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    let what = "an alias stands inside of what it names";
                    return Err(YamlError::Unusable { line, what });
                };
                self.count += size(&node);
                self.add(node, 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn start(&mut self, line: usize, anchor: usize, is_map: bool) -> Result<(), YamlError> {
        if self.open.len() == DEEPEST {
            let what = "lists and maps are too deep in each other";
            return Err(YamlError::Unusable { line, what });
        }
        self.open.push(Open {
            line,
            anchor,
            is_map,
            nodes: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(Open {
            line,
            anchor,
            is_map,
            nodes,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = if is_map {
            let mut pairs = Vec::with_capacity(nodes.len() / 2);
            let mut nodes = nodes.into_iter();
            let mut seen: HashSet<String> = HashSet::new();
            while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
                if key.text() == Some("<<") {
                    let what = "`<<` merges maps, which workflows can't do";
                    return Err(YamlError::Unusable { line: key.line, what });
                }
                if key.text().is_some_and(|name| !seen.insert(name.to_owned())) {
                    let what = "the key is in the map before";
                    return Err(YamlError::Unusable { line: key.line, what });
                }
                pairs.push((key, value));
            }
            Value::Map(pairs)
        } else {
            Value::List(nodes)
        };
        self.add(Node { line, value }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.count += 1;
        if self.count > MOST_NODES {
            let what = "the document is too large";
            return Err(YamlError::Unusable { line: node.line, what });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None if self.done.is_some() => {
                let what = "a second document begins";
                return Err(YamlError::Unusable { line: node.line, what });
            }
            None => self.done = Some(node),
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 1,
        Value::List(nodes) => 1 + nodes.iter().map(size).sum::<usize>(),
        Value::Map(pairs) => 1 + pairs.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>(),
    }
}

impl Node {
    /// What stands where nothing is written.
    pub(super) fn nothing(line: usize) -> Self {
        let (text, plain) = (String::new(), true);
        let value = Value::Scalar { text, plain };
        Self { line, value }
    }

    /// The text of a scalar. A plain `null`, `~` or nothing is the empty text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain: true } if matches!(text.as_str(), "~" | "null" | "Null" | "NULL") => Some(""),
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The number that a workflow reads where it is not the text as it is written: 3.1 for `3.10`.
    pub(super) fn shortened(&self) -> Option<String> {
        let Value::Scalar { text, plain: true } = &self.value else {
            return None;
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, rest) = text.split_once('.')?;
        let short = text.trim_end_matches('0').trim_end_matches('.');
        (digits(whole) && digits(rest) && short != text).then(|| short.to_owned())
    }

    /// Whether nothing is written.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Scalar { plain, .. } => *plain && self.text() == Some(""),
            Value::List(nodes) => nodes.is_empty(),
            Value::Map(pairs) => pairs.is_empty(),
        }
    }

    /// The texts of a list of scalars, or of one scalar, with their lines.
    pub(super) fn texts(&self) -> Option<Vec<(usize, &str)>> {
        match &self.value {
            Value::Scalar { .. } if self.is_empty() => Some(Vec::new()),
            Value::Scalar { text, .. } => Some(vec![(self.line, text)]),
            Value::List(nodes) => nodes.iter().map(|node| Some((node.line, node.text()?))).collect(),
            Value::Map(_) => None,
        }
    }

    /// The pairs of a map whose keys are scalars.
    pub(super) fn pairs(&self) -> Option<Vec<(&str, &Self)>> {
        match &self.value {
            Value::Map(pairs) => pairs.iter().map(|(key, value)| Some((key.text()?, value))).collect(),
            Value::Scalar { .. } if self.is_empty() => Some(Vec::new()),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Value::Map(pairs) = &self.value else { return None };
        let found = pairs.iter().find(|(key, _)| key.text() == Some(name));
        found.map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_spelling_are_kept() {
        let node = parse("on: push\nversions:\n  - 3.10\n  - \"null\"\n  - ~\n").unwrap();
        let versions = node.get("versions").unwrap();
        assert_eq!(versions.texts().unwrap(), [(3, "3.10"), (4, "null"), (5, "")]);
        assert_eq!(node.get("on").unwrap().text(), Some("push"));
    }

    #[test]
    fn anchors_are_spelled_out() {
        let node = parse("a: &x [1, 2]\nb: *x\n").unwrap();
        assert_eq!(node.get("b"), node.get("a"));
    }

    #[test]
    fn a_document_can_not_grow_without_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.extend([format!("a{level}: &a{level} [{aliases}]\n")]);
        }
        assert!(parse(&text).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn errors_have_lines() {
        assert_eq!(parse("a: 1\nb: [1\nc: 2\n").unwrap_err().line(), 3);
        assert_eq!(parse("").unwrap_err().line(), 1);
    }
}
