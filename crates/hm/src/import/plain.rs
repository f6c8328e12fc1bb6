//! Commands that need no shell of their own.

use super::python::Piece;

/// Whether `sh -c` does with the command what the shell of the workflow would: it is one command whose failure is the
/// end, and of nothing but words. For `sh` itself, anything that is one command.
pub(super) fn is_plain(pieces: &[Piece], for_sh: bool) -> bool {
    let text = match pieces {
        [] => return true,
        [Piece::Text(only)] => only,
        _ if for_sh => {
            return pieces
                .iter()
                .all(|piece| matches!(piece, Piece::Text(text) if is_one(text)));
        }
        _ => return false,
    };
    is_words(text) || (for_sh && is_one(text))
}

/// Whether no other command could begin in the text.
fn is_one(text: &str) -> bool {
    let rest = text.replace("${", "");
    !["\n", ";", "|", "&", "{", "`", "$(", "<<"]
        .iter()
        .any(|other| rest.contains(other))
}

/// Whether these are words that every shell reads as they stand, and the first names a program.
fn is_words(text: &str) -> bool {
    let of_word = |c: char| c.is_ascii_alphanumeric() || " _./:=@%+,-".contains(c);
    let mut words = text.split_whitespace();
    let Some(first) = words.next() else { return true };
    if !text.chars().all(of_word) || first.contains('=') {
        return false;
    }
    match first {
        "echo" => !words.any(|word| word.starts_with('-')),
        other => !INTERNAL.contains(&other),
    }
}

/// Words with which a shell means something else than a program. `true`, `false` and `pwd` are alike everywhere.
const INTERNAL: [&str; 74] = [
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
    "chdir",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, for_sh: bool) -> bool {
        is_plain(&[Piece::Text(text.to_owned())], for_sh)
    }

    #[test]
    fn only_words_need_no_shell() {
        for text in [
            "cargo test --workspace -- --nocapture",
            "./x a=b",
            "echo first",
            "npm ci",
            "true",
        ] {
            assert!(plain(text, false), "{text}");
        }
        for text in [
            "echo -e a",
            "echo \"a\\nb\"",
            "echo $RANDOM",
            "pushd x",
            "ls **",
            "x >& y",
            "A=b x",
            "ls ~",
            "echo {a,b}",
            "a\nb",
            "printf %q x",
            "let x=1",
            "a; b",
        ] {
            assert!(!plain(text, false), "{text}");
        }
    }

    #[test]
    fn sh_is_there_anyway() {
        assert!(plain("test -s \"$x\"", true) && plain("echo ${X}", true));
        assert!(!plain("a | b", true) && !plain("a\nb", true) && !plain("a ${{ X }}", true));
    }
}
