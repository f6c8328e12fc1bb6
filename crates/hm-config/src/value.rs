//! From what a layer says to what a key wants. The error is the sentence that says what is wrong, and a hint.

use std::path::{Path, PathBuf};

use crate::entry::Value;

/// What is wrong, and how to mend it.
pub(crate) type Complaint = (String, String);

pub(crate) fn text(value: &Value) -> Result<String, Complaint> {
    match value {
        Value::Text(text) | Value::Raw(text) if !text.trim().is_empty() => Ok(text.clone()),
        Value::Text(_) | Value::Raw(_) => Err(("is empty".to_owned(), "write a value or leave it out".to_owned())),
        Value::Integer(_) | Value::List(_) | Value::Other(_) => Err(wrong_type(value, "a string")),
    }
}

/// A number between the two.
pub(crate) fn number(value: &Value, least: u32, greatest: u32) -> Result<u32, Complaint> {
    let number = match value {
        Value::Integer(number) => Some(*number),
        Value::Raw(text) => text.trim().parse::<i128>().ok(),
        Value::Text(_) | Value::List(_) | Value::Other(_) => None,
    };
    let number = number.ok_or_else(|| wrong_type(value, "an integer"))?;
    let fitting = u32::try_from(number)
        .ok()
        .filter(|number| (least..=greatest).contains(number));
    fitting.ok_or_else(|| {
        (
            format!("can't be {number}"),
            format!("write an integer from {least} to {greatest}"),
        )
    })
}

/// A number of bytes, also with a unit: `20GiB`, `500 MB`.
pub(crate) fn bytes(value: &Value) -> Result<u64, Complaint> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let text = match value {
        Value::Integer(number) => number.to_string(),
        Value::Raw(_) | Value::Text(_) => text(value)?,
        Value::List(_) | Value::Other(_) => return Err(wrong_type(value, "a number of bytes")),
    };
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
    let bytes = unit.and_then(|(_, factor)| number.parse::<u64>().ok()?.checked_mul(*factor));
    bytes.ok_or_else(|| {
        let hint = "write a number of bytes, or one with KB, MB, GB, TB, KiB, MiB, GiB, TiB: \"20GiB\"".to_owned();
        (format!("can't be {text:?}"), hint)
    })
}

/// One of a few words.
pub(crate) fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, Complaint> {
    let text = text(value)?;
    let found = words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        (format!("can't be {text:?}"), format!("one of: {}", known.join(", ")))
    })
}

/// An array; in a variable or a flag, parts between commas.
pub(crate) fn list<T>(value: &Value, read: impl Fn(&Value) -> Result<T, Complaint>) -> Result<Vec<T>, Complaint> {
    match value {
        Value::List(items) => items.iter().map(read).collect(),
        Value::Raw(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| read(&Value::Raw(part.to_owned()))).collect()
        }
        Value::Text(_) | Value::Integer(_) | Value::Other(_) => Err(wrong_type(value, "an array of strings")),
    }
}

/// An absolute path; `~` and `~/…` stand for the home folder.
pub(crate) fn path(value: &Value, home: Option<&Path>) -> Result<PathBuf, Complaint> {
    let text = text(value)?;
    let path = match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        (Some(rest), None) if rest.is_empty() || rest.starts_with('/') => {
            let message = format!("is {text:?}, and no home folder is known");
            return Err((message, "set HOME, or write an absolute path".to_owned()));
        }
        (Some(_) | None, _) => PathBuf::from(&text),
    };
    if path.is_absolute() {
        return Ok(path);
    }
    Err((
        format!("can't be the relative path {text:?}"),
        "write an absolute path, or one that begins with `~/`".to_owned(),
    ))
}

fn wrong_type(value: &Value, wanted: &str) -> Complaint {
    (
        format!("must be {wanted}, not {}", value.in_words()),
        format!("write {wanted}"),
    )
}
