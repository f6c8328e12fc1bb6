//! The grammar of expressions
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/expressions>).

use super::value::{Value, parsed};

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Expression {
    Literal(Value),
    /// `matrix.os` and so on.
    Path(Vec<String>),
    Call(String, Vec<Self>),
    Not(Box<Self>),
    Equal(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    /// Something that only the system the workflow is from can say: comparison by size, a part of what a function gives.
    Other,
}

#[derive(Clone, PartialEq, Debug)]
enum Token {
    Text(String),
    Number(f64),
    Word(String),
    Sign(&'static str),
}

const SIGNS: [&str; 16] = [
    "==", "!=", "&&", "||", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", ".", "*",
];

/// Parentheses and negations in each other.
const DEEPEST: usize = 50;

/// Reads an expression without its braces; `None` where it is none.
pub(super) fn parse(source: &str) -> Option<Expression> {
    let mut parser = Parser {
        tokens: tokens(source)?,
        next: 0,
        depth: 0,
    };
    let expression = parser.or()?;
    (parser.next == parser.tokens.len()).then_some(expression)
}

fn tokens(source: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let token = if first == '\'' {
            quoted(&mut rest)?
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            rest = rest.strip_prefix(sign)?;
            Token::Sign(sign)
        } else {
            let is_number = first.is_ascii_digit() || first == '-';
            let of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || (is_number && c == '.');
            let end = rest.find(|c: char| !of_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
            rest = after;
            if is_number {
                Token::Number(parsed(word)?)
            } else {
                Token::Word(word.to_owned())
            }
        };
        tokens.push(token);
        rest = rest.trim_start();
    }
    Some(tokens)
}

/// `'it''s'`
fn quoted(rest: &mut &str) -> Option<Token> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            *rest = rest.get(at + 1..)?;
            return Some(Token::Text(text));
        }
    }
    None
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn or(&mut self) -> Option<Expression> {
        let mut left = self.and()?;
        while self.sign("||") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Some(left)
    }

    fn and(&mut self) -> Option<Expression> {
        let mut left = self.comparison()?;
        while self.sign("&&") {
            left = Expression::And(Box::new(left), Box::new(self.comparison()?));
        }
        Some(left)
    }

    fn comparison(&mut self) -> Option<Expression> {
        let left = self.unary()?;
        if self.sign("==") {
            return Some(Expression::Equal(Box::new(left), Box::new(self.unary()?)));
        }
        if self.sign("!=") {
            let equal = Expression::Equal(Box::new(left), Box::new(self.unary()?));
            return Some(Expression::Not(Box::new(equal)));
        }
        if ["<", "<=", ">", ">="].iter().any(|sign| self.sign(sign)) {
            self.unary()?;
            return Some(Expression::Other);
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let expression = if self.sign("!") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.sign("(") {
            let inner = self.or()?;
            self.sign(")").then_some(inner)?
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Some(expression)
    }

    fn primary(&mut self) -> Option<Expression> {
        match self.token()? {
            Token::Text(text) => Some(Expression::Literal(Value::Text(text))),
            Token::Number(number) => Some(Expression::Literal(Value::Number(number))),
            Token::Word(word) => match word.as_str() {
                "true" | "false" => Some(Expression::Literal(Value::Bool(word == "true"))),
                "null" => Some(Expression::Literal(Value::Null)),
                _ if self.sign("(") => {
                    let call = Expression::Call(word.to_ascii_lowercase(), self.arguments()?);
                    self.members(call)
                }
                _ => self.members(Expression::Path(vec![word])),
            },
            Token::Sign(_) => None,
        }
    }

    fn arguments(&mut self) -> Option<Vec<Expression>> {
        let mut arguments = Vec::new();
        if self.sign(")") {
            return Some(arguments);
        }
        loop {
            arguments.push(self.or()?);
            if self.sign(")") {
                return Some(arguments);
            }
            self.sign(",").then_some(())?;
        }
    }

    /// What follows a name or a call: `.x`, `['x']`, `[0]`, `.*`.
    fn members(&mut self, of: Expression) -> Option<Expression> {
        let mut whole = of;
        loop {
            let member = if self.sign(".") {
                match self.token()? {
                    Token::Word(word) => Some(word),
                    Token::Sign("*") => None,
                    Token::Text(_) | Token::Number(_) | Token::Sign(_) => return None,
                }
            } else if self.sign("[") {
                let index = if self.sign("*") { Expression::Other } else { self.or()? };
                self.sign("]").then_some(())?;
                if let Expression::Literal(Value::Text(name)) = index {
                    Some(name)
                } else {
                    None
                }
            } else {
                return Some(whole);
            };
            whole = match (whole, member) {
                (Expression::Path(mut path), Some(name)) => {
                    path.push(name);
                    Expression::Path(path)
                }
                _ => Expression::Other,
            };
        }
    }

    fn token(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token::Sign(next)) if *next == sign);
        self.next += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(names: &[&str]) -> Expression {
        Expression::Path(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn text(text: &str) -> Expression {
        Expression::Literal(Value::Text(text.to_owned()))
    }

    #[test]
    fn paths_literals_and_calls() {
        assert_eq!(parse("matrix.node-version"), Some(path(&["matrix", "node-version"])));
        assert_eq!(parse("matrix['os name'].x"), Some(path(&["matrix", "os name", "x"])));
        assert_eq!(parse("'it''s'"), Some(text("it's")));
        assert_eq!(parse(" 3.10 "), Some(Expression::Literal(Value::Number(3.1))));
        assert_eq!(
            parse("startsWith(matrix.os, 'u')"),
            Some(Expression::Call(
                "startswith".to_owned(),
                vec![path(&["matrix", "os"]), text("u")]
            ))
        );
    }

    #[test]
    fn what_only_a_hosted_runner_can_say() {
        for source in ["1 < 2", "a.*.b", "a[0]", "a[*]", "f(x).y[z]", "a[b.c]"] {
            assert_eq!(parse(source), Some(Expression::Other), "{source}");
        }
    }

    #[test]
    fn and_binds_closer_than_or() {
        let Some(Expression::Or(left, _)) = parse("a && b || !c") else {
            panic!("no or");
        };
        assert!(matches!(*left, Expression::And(_, _)));
    }

    #[test]
    fn what_is_no_expression() {
        for wrong in [
            "",
            "a b",
            "a ==",
            "(a",
            "'open",
            "a.",
            "1 <",
            "a[",
            "1a",
            "é",
            &"(".repeat(10_000),
            &"!".repeat(10_000),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
