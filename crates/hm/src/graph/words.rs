//! What a step is called in a picture.

use hm_pipeline_ir::{CachePolicy, Step};
use hm_render::visible;

/// One line without control characters, which could move a terminal's cursor or break a document, and with what can't be
/// seen spelled out.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    visible(&line).into_owned()
}

/// The line cut to a number of columns, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let line = one_line(text);
    if width(&line) <= columns {
        return line;
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in line.chars() {
        used += char_width(character);
        if used > columns {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

/// Columns of a terminal that the text takes, by and large.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// From the Hangul letters on, most characters take two columns.
fn char_width(character: char) -> usize {
    if character >= '\u{1100}' { 2 } else { 1 }
}

/// The cache policy in one word; `None` where nothing is cached.
pub(super) fn cache_policy(step: &Step) -> Option<&str> {
    match &step.cache.as_ref()?.policy {
        CachePolicy::None => None,
        CachePolicy::Forever { .. } => Some("forever"),
        CachePolicy::Ttl { .. } => Some("for a time"),
        CachePolicy::OnChange { .. } => Some("until files change"),
        CachePolicy::Compose { .. } => Some("by several rules"),
        CachePolicy::Auto => Some("by what it reads"),
        CachePolicy::Opaque { name } => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters() {
        assert_eq!(one_line("a\n\tb\u{1b}[31m c"), "a b [31m c");
        assert_eq!(one_line("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn a_cut_line_says_so_and_fits() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("構築構築", 6), "構築…");
    }
}
