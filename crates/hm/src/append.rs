//! Adding formatted text to a text, which can't fail.

use std::fmt::Arguments;

pub(crate) fn append(text: &mut String, more: Arguments<'_>) {
    match more.as_str() {
        Some(literal) => text.push_str(literal),
        None => text.push_str(&more.to_string()),
    }
}

/// As [`append`], and a line end.
pub(crate) fn append_line(text: &mut String, more: Arguments<'_>) {
    append(text, more);
    text.push('\n');
}
