//! Python source: names, texts, and texts with expressions in them.

use hm_render::is_hidden;

use crate::append::append;

/// A part of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    Text(String),
    /// An expression that gives a str, without backslashes and double quotes.
    Python(String),
}

/// Source that gives the text: a literal, an expression, or an f-string; lines in three quotes.
pub(super) fn text(pieces: &[Piece]) -> String {
    let (prefix, doubled) = match pieces {
        [] => return "\"\"".to_owned(),
        [Piece::Python(only)] => return only.clone(),
        [Piece::Text(_)] => ("", false),
        _ => ("f", true),
    };
    let lines = |piece: &Piece| matches!(piece, Piece::Text(text) if text.trim_end_matches('\n').contains('\n'));
    let several = pieces.iter().any(lines);
    let quotes = if several { "\"\"\"" } else { "\"" };
    let mut source = format!("{prefix}{quotes}");
    if several {
        source.push_str("\\\n");
    }
    for piece in pieces {
        match piece {
            Piece::Text(text) => push_escaped(&mut source, text, '"', several, doubled),
            Piece::Python(expression) => append(&mut source, format_args!("{{{expression}}}")),
        }
    }
    source.push_str(quotes);
    source
}

/// Source for a script whose lines a reader wants to see: they stand at `indent`, and `script` takes that off again.
/// Where it could not, the text as it is.
pub(super) fn script(pieces: &[Piece], indent: usize) -> String {
    let all: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Python(_) => "x",
        })
        .collect();
    let mut lines = all.lines();
    let level = lines
        .clone()
        .any(|line| !line.is_empty() && !line.starts_with([' ', '\t']));
    let blank = lines.any(|line| !line.is_empty() && line.trim().is_empty());
    if !all.contains('\n') || !level || blank {
        return text(pieces);
    }
    let space = " ".repeat(indent);
    let mut source = text(pieces);
    // The literal begins behind three quotes, a backslash and a line end.
    if let Some(begin) = source.find('\n') {
        let (head, body) = source.split_at(begin);
        let head = head.strip_suffix('\\').unwrap_or(head);
        let body = body.strip_suffix("\"\"\"").unwrap_or(body).trim_end_matches('\n');
        let body: Vec<String> = body
            .lines()
            .map(|line| {
                if line.is_empty() {
                    String::new()
                } else {
                    format!("{space}{line}")
                }
            })
            .collect();
        source = format!(
            "{head}{}\n{}\"\"\"",
            body.join("\n"),
            &" ".repeat(indent.saturating_sub(4))
        );
    }
    source
}

/// Neighbouring texts as one.
pub(super) fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(last)), Piece::Text(more)) => last.push_str(&more),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

/// Without the space at the end.
pub(super) fn trimmed(pieces: &[Piece]) -> Vec<Piece> {
    let mut trimmed = pieces.to_vec();
    if let Some(Piece::Text(last)) = trimmed.last_mut() {
        last.truncate(last.trim_end().len());
        if last.is_empty() {
            trimmed.pop();
        }
    }
    trimmed
}

/// A literal on one line.
pub(super) fn quoted(text: &str, quote: char) -> String {
    let mut source = String::from(quote);
    push_escaped(&mut source, text, quote, false, false);
    source.push(quote);
    source
}

/// The text as it stands within double quotes, or three of them.
pub(super) fn within_quotes(text: &str) -> String {
    let mut source = String::new();
    push_escaped(&mut source, text, '"', false, false);
    source
}

fn push_escaped(source: &mut String, text: &str, quote: char, several: bool, doubled: bool) {
    for character in text.chars() {
        match character {
            '\\' => source.push_str("\\\\"),
            '\n' if several => source.push('\n'),
            '\n' => source.push_str("\\n"),
            '\t' if several => source.push('\t'),
            '\t' => source.push_str("\\t"),
            '{' if doubled => source.push_str("{{"),
            '}' if doubled => source.push_str("}}"),
            // Three in a row would end a text of several lines, as would one at its end.
            _ if character == quote && several && !source.ends_with('"') && !text.ends_with('"') => {
                source.push(character);
            }
            _ if character == quote => {
                source.push('\\');
                source.push(character);
            }
            _ if character.is_control() || is_hidden(character) => {
                append(source, format_args!("\\U{:08x}", u32::from(character)));
            }
            _ => source.push(character),
        }
    }
}

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// The text of a literal on one line that has no escapes.
pub(super) fn literal(source: &str) -> Option<String> {
    let inside = source.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains(['"', '\\', '\n'])).then(|| inside.to_owned())
}

/// A name for a variable or function, made of the text.
pub(super) fn name(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert(0, '_');
    }
    if KEYWORDS.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// Whether the text is a name as it stands.
pub(super) fn is_name(text: &str) -> bool {
    name(text) == text || (name(&text.to_ascii_lowercase()) == text.to_ascii_lowercase() && !KEYWORDS.contains(&text))
}

/// A list of one-line sources.
pub(super) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}

/// A dict of one-line sources.
pub(super) fn dict(items: &[(String, String)]) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|(name, value)| format!("{}: {value}", quoted(name, '"')))
        .collect();
    format!("{{{}}}", items.join(", "))
}

/// A comment line of a text that may hold anything.
pub(super) fn comment(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    format!("# {}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> String {
        let pieces: Vec<Piece> = texts
            .iter()
            .map(|text| match text.strip_prefix('=') {
                Some(expression) => Piece::Python(expression.to_owned()),
                None => Piece::Text((*text).to_owned()),
            })
            .collect();
        text(&pieces)
    }

    #[test]
    fn texts_are_literals() {
        assert_eq!(of(&["a \"b\" \\ {c}\n"]), r#""a \"b\" \\ {c}\n""#);
        assert_eq!(of(&["=m['os']"]), "m['os']");
        assert_eq!(of(&["${X} ", "=m['os']"]), "f\"${{X}} {m['os']}\"");
        assert_eq!(of(&["a\u{0}"]), "\"a\\U00000000\"");
        assert_eq!(
            of(&["a\u{202e}\u{feff}\u{2028}"]),
            "\"a\\U0000202e\\U0000feff\\U00002028\""
        );
        assert_eq!(within_quotes("a\"\"\"b\\\n'"), "a\\\"\\\"\\\"b\\\\\\n'");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(of(&["echo \"a\"\necho b\n"]), "\"\"\"\\\necho \"a\"\necho b\n\"\"\"");
        assert_eq!(of(&["a\n\"\"\"b\""]), "\"\"\"\\\na\n\\\"\\\"\\\"b\\\"\"\"\"");
    }

    #[test]
    fn names_can_be_used() {
        assert_eq!(name("build-all"), "build_all");
        assert_eq!(name("2nd"), "_2nd");
        assert_eq!(name("import"), "import_");
        assert!(is_name("python") && is_name("OS") && !is_name("node-version") && !is_name("import"));
    }
}
