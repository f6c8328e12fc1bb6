//! Text of others made safe to look at.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with everything spelled out that a terminal would obey or not show: control characters other than line ends and
/// tabs as `\x1b`, characters that turn the direction of text or take no room as `\u{202e}`.
///
/// Joiners stay, since scripts and emoji are written with them (Unicode Technical Report 36, section 3.5, and Unicode Standard
/// Annex 9 name what can mislead).
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if !is_hidden(character) {
            spelled.push(character);
        } else if character.is_ascii() {
            write!(spelled, "\\x{:02x}", u32::from(character)).expect("writing to a String can't fail");
        } else {
            spelled.extend(character.escape_unicode());
        }
    }
    Cow::Owned(spelled)
}

/// Whether a terminal or an editor would not show the character as one of its own, or be steered by it: controls other
/// than line ends and tabs, marks of direction, and characters without width.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{feff}' => true,
        '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_hides_is_spelled_out() {
        for (text, shown) in [
            ("a b\n\tc ü 構築", "a b\n\tc ü 構築"),
            ("\u{1b}[31mred\u{7}\r", "\\x1b[31mred\\x07\\x0d"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\x7f"),
            ("a\u{202e}b\u{2066}c\u{200b}", "a\\u{202e}b\\u{2066}c\\u{200b}"),
            ("👩\u{200d}💻", "👩\u{200d}💻"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
