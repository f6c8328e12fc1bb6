//! `test` and `[`.

use super::interpreter::Shell;
use crate::memory::node::Kind;

/// Whether the expression holds; `None` where it is none.
pub(super) fn holds(shell: &Shell<'_>, args: &[&str]) -> Option<bool> {
    match args {
        [] => Some(false),
        ["!", rest @ ..] => holds(shell, rest).map(|held| !held),
        [text] => Some(!text.is_empty()),
        ["-n", text] => Some(!text.is_empty()),
        ["-z", text] => Some(text.is_empty()),
        [operator, path] => file(shell, operator, path),
        [one, "=", other] => Some(one == other),
        [one, "!=", other] => Some(one != other),
        [one, operator, other] => number(one.parse().ok()?, operator, other.parse().ok()?),
        _ => {
            let joint = args.iter().position(|arg| matches!(*arg, "-a" | "-o"))?;
            let (one, other) = (holds(shell, &args[..joint])?, holds(shell, &args[joint + 1..])?);
            Some(if args[joint] == "-a" {
                one && other
            } else {
                one || other
            })
        }
    }
}

fn file(shell: &Shell<'_>, operator: &str, path: &str) -> Option<bool> {
    let follow = !matches!(operator, "-L" | "-h");
    let found = shell.fs.stat(&shell.state.cwd, path.as_bytes(), follow).ok();
    let is = |wanted: fn(&Kind) -> bool| Some(found.is_some_and(|node| wanted(&node.kind)));
    match operator {
        "-e" | "-r" | "-w" => Some(found.is_some()),
        "-f" => is(|kind| matches!(kind, Kind::File(_))),
        "-d" => is(|kind| matches!(kind, Kind::Dir(_))),
        "-s" => is(|kind| matches!(kind, Kind::File(content) if !content.is_empty())),
        "-L" | "-h" => is(|kind| matches!(kind, Kind::Symlink(_))),
        "-x" => Some(found.is_some_and(|node| node.is_dir() || node.mode & 0o111 != 0)),
        _ => None,
    }
}

fn number(one: i64, operator: &str, other: i64) -> Option<bool> {
    match operator {
        "-eq" => Some(one == other),
        "-ne" => Some(one != other),
        "-lt" => Some(one < other),
        "-le" => Some(one <= other),
        "-gt" => Some(one > other),
        "-ge" => Some(one >= other),
        _ => None,
    }
}
