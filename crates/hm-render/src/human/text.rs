//! Text of others made fit for one line of a log.

use std::borrow::Cow;

use anstream::adapter::strip_str;

use crate::visible::visible;

const ESCAPE: char = '\u{1b}';
const RESET: &str = "\u{1b}[0m";

/// One line of a command's output as a terminal would leave it: what a carriage return wrote over is gone, and so are
/// control characters and sequences, but for tabs and, with `color`, colours and styles, which end with the line.
pub(super) fn output_line(line: &str, color: bool) -> Cow<'_, str> {
    let visible = after_last_return(line);
    if !visible.chars().any(char::is_control) {
        return Cow::Borrowed(visible);
    }
    Cow::Owned(if color {
        keep_styles(visible)
    } else {
        without_controls(visible)
    })
}

/// A name or a message on one line, without any control character, and with what can't be seen spelled out.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return visible(text);
    }
    let on_one_line = text.replace(['\n', '\r', '\t'], " ");
    Cow::Owned(visible(&without_controls(on_one_line.trim())).into_owned())
}

fn after_last_return(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit_once('\r').map_or(line, |(_, last)| last)
}

fn without_controls(text: &str) -> String {
    let stripped = strip_str(text).to_string();
    stripped
        .chars()
        .filter(|character| *character == '\t' || !character.is_control())
        .collect()
}

/// Everything but "select graphic rendition" (ECMA-48 8.3.117) goes: what moves the cursor would tear the log.
fn keep_styles(text: &str) -> String {
    let mut kept = String::with_capacity(text.len() + RESET.len());
    let mut styled = false;
    let mut rest = text;
    while let Some((before, style, after)) = next_style(rest) {
        kept.push_str(&without_controls(before));
        kept.push_str(style);
        styled = true;
        rest = after;
    }
    kept.push_str(&without_controls(rest));
    if styled {
        kept.push_str(RESET);
    }
    kept
}

/// What stands before the next style sequence, the sequence, and what follows it.
fn next_style(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices(ESCAPE).find_map(|(start, _)| {
        let (before, from_escape) = text.split_at(start);
        let parameters = from_escape.strip_prefix("\u{1b}[")?;
        let after = parameters
            .trim_start_matches(|c: char| matches!(c, '0'..='9' | ';' | ':'))
            .strip_prefix('m')?;
        let (style, after) = from_escape.split_at(from_escape.len() - after.len());
        Some((before, style, after))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays() {
        assert_eq!(output_line("a b", true), "a b");
        assert_eq!(output_line("", false), "");
        assert_eq!(output_line("a\tb\u{fffd}ä", false), "a\tb\u{fffd}ä");
    }

    #[test]
    fn colours_stay_only_where_there_is_colour_and_end_with_the_line() {
        let line = "\u{1b}[1;38:5:9mred\u{1b}[K plain";
        assert_eq!(output_line(line, true), "\u{1b}[1;38:5:9mred plain\u{1b}[0m");
        assert_eq!(output_line(line, false), "red plain");
    }

    #[test]
    fn what_moves_the_cursor_or_sets_titles_goes() {
        for color in [true, false] {
            assert_eq!(
                output_line("\u{1b}[2J\u{1b}[Ha\u{1b}]0;title\u{7}b\u{8}c\u{9b}d\u{7}", color),
                "abcd"
            );
            assert_eq!(output_line("a\u{1b}[31", color), "a");
            assert_eq!(output_line("a\u{1b}", color), "a");
        }
    }

    #[test]
    fn a_carriage_return_starts_the_line_again() {
        assert_eq!(output_line("10%\r50%\r100%\r", false), "100%");
        assert_eq!(output_line("text\r", false), "text");
    }

    #[test]
    fn names_come_on_one_line() {
        assert_eq!(one_line("set -e\nmake\tall\u{1b}[31m\n"), "set -e make all");
        assert_eq!(one_line("a\u{202e}b"), "a\\u{202e}b");
    }

    proptest! {
        #[test]
        fn no_text_brings_a_control_character_into_a_plain_log(line in "(\\PC|[\u{0}-\u{9f}]|\u{1b}\\[[0-9;]*[a-zA-Z])*") {
            prop_assert!(output_line(&line, false).chars().all(|c| c == '\t' || !c.is_control()));
            prop_assert!(one_line(&line).chars().all(|c| !c.is_control()));
        }

        #[test]
        fn with_colour_an_escape_only_begins_a_style(line in "([a-z\u{1b}\\[\\];0-9\u{7}]|\u{1b}\\[[0-9;]*m)*") {
            let shown = output_line(&line, true);
            for (_, rest) in shown.match_indices('\u{1b}').map(|(at, _)| shown.split_at(at)) {
                let style = next_style(rest);
                prop_assert!(style.is_some_and(|(before, _, _)| before.is_empty()), "{shown:?}");
            }
        }
    }
}
