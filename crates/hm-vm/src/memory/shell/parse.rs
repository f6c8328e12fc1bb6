//! From text to commands.

use super::syntax::{AndOr, Body, Command, Joint, List, Part, Pipeline, Redirect, Target, Word};

/// The script isn't in the subset that the interpreter knows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum SyntaxError {
    #[error("syntax error: unexpected {0:?}")]
    Unexpected(char),
    #[error("syntax error: unexpected end of the script")]
    End,
    #[error("syntax error: {0:?} is not part of the subset of the shell that machines in memory know")]
    Unsupported(String),
}

/// Words that begin what the subset doesn't hold.
const RESERVED: [&str; 9] = ["if", "then", "for", "while", "until", "case", "do", "done", "function"];

pub(super) fn parse(script: &str) -> Result<List, SyntaxError> {
    let mut parser = Parser {
        chars: script.chars().collect(),
        at: 0,
    };
    let list = parser.list()?;
    match parser.peek() {
        None => Ok(list),
        Some(other) => Err(SyntaxError::Unexpected(other)),
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn peek_after(&self, distance: usize) -> Option<char> {
        self.chars.get(self.at + distance).copied()
    }

    fn next(&mut self) -> Option<char> {
        let found = self.peek();
        self.at += usize::from(found.is_some());
        found
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn take_pair(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted) && self.peek_after(1) == Some(wanted);
        self.at += if found { 2 } else { 0 };
        found
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.peek_after(1) == Some('\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn skip_blank_lines(&mut self) {
        self.skip_blanks();
        while self.take('\n') {
            self.skip_blanks();
        }
    }

    /// Up to the end, `)` or `}`.
    fn list(&mut self) -> Result<List, SyntaxError> {
        let mut list = Vec::new();
        loop {
            self.skip_blank_lines();
            if matches!(self.peek(), None | Some(')' | '}')) {
                return Ok(list);
            }
            let mut item = self.and_or()?;
            self.skip_blanks();
            match self.peek() {
                Some(';' | '\n') => self.at += 1,
                Some('&') => {
                    self.at += 1;
                    item.background = true;
                }
                None | Some(')' | '}') => {}
                Some(other) => return Err(SyntaxError::Unexpected(other)),
            }
            list.push(item);
        }
    }

    fn and_or(&mut self) -> Result<AndOr, SyntaxError> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let joint = if self.take_pair('&') {
                Joint::And
            } else if self.take_pair('|') {
                Joint::Or
            } else {
                return Ok(AndOr {
                    first,
                    rest,
                    background: false,
                });
            };
            self.skip_blank_lines();
            rest.push((joint, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, SyntaxError> {
        self.skip_blanks();
        let negated = self.peek() == Some('!') && matches!(self.peek_after(1), Some(' ' | '\t'));
        self.at += usize::from(negated);
        let mut commands = vec![self.command()?];
        loop {
            self.skip_blanks();
            if self.peek() != Some('|') || self.peek_after(1) == Some('|') {
                return Ok(Pipeline { negated, commands });
            }
            self.at += 1;
            self.skip_blank_lines();
            commands.push(self.command()?);
        }
    }

    fn command(&mut self) -> Result<Command, SyntaxError> {
        self.skip_blanks();
        let body = if self.take('(') {
            let list = self.list()?;
            self.closed_by(')')?;
            Body::Subshell(list)
        } else if self.peek() == Some('{') && matches!(self.peek_after(1), Some(' ' | '\t' | '\n')) {
            self.at += 1;
            let list = self.list()?;
            self.closed_by('}')?;
            Body::Group(list)
        } else {
            return self.simple();
        };
        let mut redirects = Vec::new();
        loop {
            self.skip_blanks();
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => return Ok(Command { body, redirects }),
            }
        }
    }

    fn closed_by(&mut self, end: char) -> Result<(), SyntaxError> {
        match self.next() {
            Some(found) if found == end => Ok(()),
            Some(other) => Err(SyntaxError::Unexpected(other)),
            None => Err(SyntaxError::End),
        }
    }

    fn simple(&mut self) -> Result<Command, SyntaxError> {
        let mut assignments = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let mut redirects = Vec::new();
        loop {
            self.skip_blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            let name = if words.is_empty() { self.assignment() } else { None };
            let word = self.word()?;
            match (name, word.is_empty()) {
                (Some(name), _) => assignments.push((name, word)),
                (None, false) => words.push(word),
                (None, true) => break,
            }
        }
        if let Some([Part::Text { text, quoted: false }]) = words.first().map(Vec::as_slice)
            && RESERVED.contains(&text.as_str())
        {
            return Err(SyntaxError::Unsupported(text.clone()));
        }
        if assignments.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(self.peek().map_or(SyntaxError::End, SyntaxError::Unexpected));
        }
        Ok(Command {
            body: Body::Simple { assignments, words },
            redirects,
        })
    }

    /// The name of `NAME=`, past which the parser then is.
    fn assignment(&mut self) -> Option<String> {
        let rest = self.chars.get(self.at..)?;
        let name: String = rest.iter().take_while(|c| is_name(**c)).collect();
        let length = name.chars().count();
        let is_one =
            !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && rest.get(length) == Some(&'=');
        is_one.then(|| {
            self.at += length + 1;
            name
        })
    }

    fn redirect(&mut self) -> Result<Option<Redirect>, SyntaxError> {
        let digit = self
            .peek()
            .and_then(|c| c.to_digit(10))
            .filter(|_| matches!(self.peek_after(1), Some('<' | '>')));
        let operator = if digit.is_some() {
            self.peek_after(1)
        } else {
            self.peek()
        };
        let Some(operator @ ('<' | '>')) = operator else {
            return Ok(None);
        };
        self.at += 1 + usize::from(digit.is_some());
        let fd = match digit.map_or_else(
            || u8::from(operator == '>'),
            |digit| u8::try_from(digit).unwrap_or(u8::MAX),
        ) {
            fd @ 0..=2 => fd,
            other => return Err(SyntaxError::Unsupported(format!("{other}{operator}"))),
        };
        let append = operator == '>' && self.take('>');
        if self.take('&') {
            let from = self
                .next()
                .and_then(|c| c.to_digit(10))
                .and_then(|digit| u8::try_from(digit).ok());
            let from = from.filter(|from| (1..=2).contains(from));
            let from = from.ok_or_else(|| SyntaxError::Unsupported(format!("{operator}&")))?;
            return Ok(Some(Redirect {
                fd,
                to: Target::Fd(from),
            }));
        }
        self.skip_blanks();
        if self.peek() == Some('<') {
            return Err(SyntaxError::Unsupported("<<".to_owned()));
        }
        let word = self.word()?;
        if word.is_empty() {
            return Err(self.peek().map_or(SyntaxError::End, SyntaxError::Unexpected));
        }
        let to = match (operator, append) {
            ('<', _) => Target::Read(word),
            (_, true) => Target::Append(word),
            (_, false) => Target::Write(word),
        };
        Ok(Some(Redirect { fd, to }))
    }

    fn word(&mut self) -> Result<Word, SyntaxError> {
        self.word_until(|c| matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')'))
    }

    fn word_until(&mut self, ends: impl Fn(char) -> bool + Copy) -> Result<Word, SyntaxError> {
        let mut parts = Vec::new();
        while let Some(c) = self.peek().filter(|c| !ends(*c)) {
            match c {
                '\'' => {
                    self.at += 1;
                    parts.push(self.single_quoted()?);
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut parts)?;
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') => {}
                        Some(escaped) => parts.push(Part::Text {
                            text: escaped.to_string(),
                            quoted: true,
                        }),
                        None => return Err(SyntaxError::End),
                    }
                }
                '$' => {
                    self.at += 1;
                    parts.push(self.dollar(false)?);
                }
                '`' => return Err(SyntaxError::Unsupported("`".to_owned())),
                _ => {
                    let mut text = String::new();
                    while let Some(c) = self
                        .peek()
                        .filter(|c| !ends(*c) && !matches!(c, '\'' | '"' | '\\' | '$' | '`'))
                    {
                        text.push(c);
                        self.at += 1;
                    }
                    parts.push(Part::Text { text, quoted: false });
                }
            }
        }
        Ok(parts)
    }

    fn single_quoted(&mut self) -> Result<Part, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(SyntaxError::End),
                Some('\'') => return Ok(Part::Text { text, quoted: true }),
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self, parts: &mut Word) -> Result<(), SyntaxError> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(SyntaxError::End),
                Some('"') => {
                    parts.push(Part::Text { text, quoted: true });
                    return Ok(());
                }
                Some('\\') => match self.next() {
                    None => return Err(SyntaxError::End),
                    Some('\n') => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                },
                Some('$') => {
                    parts.push(Part::Text {
                        text: std::mem::take(&mut text),
                        quoted: true,
                    });
                    parts.push(self.dollar(true)?);
                }
                Some('`') => return Err(SyntaxError::Unsupported("`".to_owned())),
                Some(c) => text.push(c),
            }
        }
    }

    /// What follows a `$`.
    fn dollar(&mut self, quoted: bool) -> Result<Part, SyntaxError> {
        match self.peek() {
            Some('(') if self.peek_after(1) == Some('(') => Err(SyntaxError::Unsupported("$((".to_owned())),
            Some('(') => {
                self.at += 1;
                let list = self.list()?;
                self.closed_by(')')?;
                Ok(Part::Substitution { list, quoted })
            }
            Some('{') => {
                self.at += 1;
                let name = self.name();
                let default = if self.take(':') {
                    self.closed_by('-')?;
                    Some(self.word_until(|c| c == '}')?)
                } else {
                    None
                };
                self.closed_by('}')?;
                Ok(Part::Variable { name, default, quoted })
            }
            Some(c @ ('?' | '$')) => {
                self.at += 1;
                Ok(Part::Variable {
                    name: c.to_string(),
                    default: None,
                    quoted,
                })
            }
            Some(c) if is_name(c) => Ok(Part::Variable {
                name: self.name(),
                default: None,
                quoted,
            }),
            _ => Ok(Part::Text {
                text: "$".to_owned(),
                quoted,
            }),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| is_name(*c)) {
            name.push(c);
            self.at += 1;
        }
        name
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_subset_is_an_error() {
        for (script, error) in [
            ("if true; then :; fi", SyntaxError::Unsupported("if".into())),
            ("cat <<E", SyntaxError::Unsupported("<<".into())),
            ("echo `ls`", SyntaxError::Unsupported("`".into())),
            ("echo 'a", SyntaxError::End),
            ("(echo a", SyntaxError::End),
            ("echo a)", SyntaxError::Unexpected(')')),
            ("&& a", SyntaxError::Unexpected('&')),
        ] {
            assert_eq!(parse(script).unwrap_err(), error, "{script}");
        }
    }

    #[test]
    fn an_empty_script_is_no_command() {
        assert!(parse("").unwrap().is_empty());
        assert!(parse(" # nothing\n\n").unwrap().is_empty());
    }
}
