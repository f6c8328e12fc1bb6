//! Values of expressions, and how they are compared
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/expressions#operators>).

use std::cmp::Ordering;

/// A value that is neither a list nor a map.
#[derive(Clone, PartialEq, Default, Debug)]
pub(in crate::import) enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
}

impl Value {
    /// The value of a YAML scalar; without quotes (`plain`) its text may mean something
    /// (<https://yaml.org/spec/1.2.2/#1032-tag-resolution>).
    pub(in crate::import) fn of_scalar(text: &str, plain: bool) -> Self {
        if !plain {
            return Self::Text(text.to_owned());
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            ".nan" | ".NaN" | ".NAN" => Self::Number(f64::NAN),
            _ => scalar_number(text).map_or_else(|| Self::Text(text.to_owned()), Self::Number),
        }
    }

    /// The value as it is written into a text.
    pub(in crate::import) fn text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// Whether a condition that is this value holds.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
        }
    }

    /// Values of different kinds are compared as numbers, texts without regard to case.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => folded(left) == folded(right),
            (left, right) => left.number().partial_cmp(&right.number()) == Some(Ordering::Equal),
        }
    }

    /// The number, to which a text that is none gives NaN.
    pub(in crate::import) fn number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Number(number) => *number,
            Self::Text(text) if text.trim().is_empty() => 0.0,
            Self::Text(text) => parsed(text.trim()).unwrap_or(f64::NAN),
        }
    }

    /// What a function of two texts that ignores case says of them.
    pub(super) fn test(&self, other: &Self, test: impl Fn(&str, &str) -> bool) -> bool {
        test(&folded(&self.text()), &folded(&other.text()))
    }
}

/// A number as expressions read it.
pub(super) fn parsed(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok().map(f64::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u32::from_str_radix(digits, 8).ok().map(f64::from);
    }
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => decimal(text),
    }
}

/// A number as YAML reads it.
fn scalar_number(text: &str) -> Option<f64> {
    match text.trim_start_matches(['-', '+']) {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => Some(f64::NEG_INFINITY),
        ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
        _ if text.contains("nf") => None,
        _ => parsed(text),
    }
}

/// Digits with a sign, a point and an exponent; no words such as `inf`.
fn decimal(text: &str) -> Option<f64> {
    let of_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    text.bytes().all(of_number).then(|| text.parse().ok()).flatten()
}

/// The text in capitals, letter by letter.
fn folded(text: &str) -> String {
    let capital = |letter: char| {
        let mut capitals = letter.to_uppercase();
        match (capitals.next(), capitals.next()) {
            (Some(only), None) => only,
            _ => letter,
        }
    };
    text.chars().map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_are_compared_as_a_workflow_compares_them() {
        for (left, right, equal) in [
            (text("Äpfel"), text("äPFEL"), true),
            (text("1.0"), text("1"), false),
            (text("1.0"), Value::Number(1.0), true),
            (text(""), Value::Bool(false), true),
            (text("0x10"), Value::Number(16.0), true),
            (text("x"), Value::Number(0.0), false),
            (text("inf"), text("inf"), true),
            (text("inf"), Value::Number(f64::INFINITY), false),
            (Value::Null, Value::Number(0.0), true),
            (Value::Null, text("null"), false),
            (Value::Bool(true), text("true"), false),
            (Value::Bool(true), text("1"), true),
        ] {
            assert_eq!(left.equals(&right), equal, "{left:?} {right:?}");
            assert_eq!(right.equals(&left), equal, "{right:?} {left:?}");
        }
    }

    #[test]
    fn only_the_empty_text_is_false() {
        assert!(text("0").is_true() && text("false").is_true() && !text("").is_true());
        assert!(!Value::Number(0.0).is_true() && !Value::Number(f64::NAN).is_true() && Value::Number(2.0).is_true());
    }

    #[test]
    fn scalars_without_quotes_have_kinds() {
        for (scalar, value) in [
            ("~", Value::Null),
            ("True", Value::Bool(true)),
            ("3.10", Value::Number(3.1)),
            ("0o17", Value::Number(15.0)),
            ("-.inf", Value::Number(f64::NEG_INFINITY)),
            ("yes", text("yes")),
            ("1.2.3", text("1.2.3")),
            ("Infinity", text("Infinity")),
        ] {
            assert_eq!(Value::of_scalar(scalar, true), value);
            assert_eq!(Value::of_scalar(scalar, false), text(scalar));
        }
    }
}
