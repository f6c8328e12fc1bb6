//! Whether a shell would expand a variable at the end of a script that has begun.

use crate::import::python::Piece;

/// How the value of a variable is written where the shell can't be asked for it: the generated function `filled` puts
/// it there as text, as a workflow does.
pub(super) fn filled(name: &str) -> String {
    format!("${{{{ {name} }}}}")
}

/// Whether the end of the pieces certainly stands where a shell expands `${NAME}`: outside of quotes, or in double
/// ones. Where that takes more than a look (substitutions, here-documents, values of a matrix), the answer is no.
pub(super) fn expands(pieces: &[Piece]) -> bool {
    let mut script = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => script.push_str(text),
            Piece::Python(_) => return false,
        }
    }
    outside(&script)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
    Comment,
}

fn outside(script: &str) -> bool {
    let mut quote = Quote::None;
    let mut before = ' ';
    let mut rest = script;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        let mut skipped = 0;
        match (quote, character) {
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::Comment, '\n') => quote = Quote::None,
            (Quote::Single | Quote::Comment, _) => {}
            (Quote::None, '\'') => quote = Quote::Single,
            (Quote::None, '"') => quote = Quote::Double,
            (Quote::None, '#') if before.is_whitespace() || ";&|()".contains(before) => quote = Quote::Comment,
            (Quote::None, '<') if after.starts_with('<') => return false,
            (Quote::None | Quote::Double, '\\') => match after.chars().next() {
                Some(next) => skipped = next.len_utf8(),
                None => return false,
            },
            (Quote::None | Quote::Double, '`') => return false,
            (Quote::None | Quote::Double, '$') => match variable(after) {
                Some(length) => skipped = length,
                None => return false,
            },
            (Quote::None | Quote::Double, _) => {}
        }
        rest = after.get(skipped..).unwrap_or_default();
        before = if skipped > 0 { 'x' } else { character };
    }
    quote != Quote::Single
}

/// The length of what follows a `$` where that is the simple use of a variable.
fn variable(after: &str) -> Option<usize> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some((inside, _)) = after.strip_prefix("{{").and_then(|rest| rest.split_once("}}")) {
        return Some(inside.len() + 4);
    }
    if let Some((inside, _)) = after.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return inside.chars().all(of_name).then_some(inside.len() + 2);
    }
    match after.chars().next()? {
        '(' | '\'' | '"' | '{' | '[' => None,
        // `$$` and its like.
        first if !of_name(first) => Some(usize::from(first.is_ascii_punctuation())),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_followed() {
        for script in [
            "",
            "curl ",
            "echo \"a ",
            "echo 'a' \"b\" ",
            "# don't\necho ",
            "echo \\' ",
            "echo a#'b' ",
            "echo ${X} $Y ",
            "echo \"it's ",
            "echo 'a'\\''b' ",
        ] {
            assert!(outside(script), "{script}");
        }
        for script in [
            "echo '",
            "echo '\"a\" ",
            "\\",
            "cat <<'EOF'\n",
            "cat << EOF\n",
            "echo \"$(",
            "echo `",
            "echo $'",
            "echo $",
            "echo ${x:-'",
            "echo \\\\\\",
        ] {
            assert!(!outside(script), "{script}");
        }
    }
}
