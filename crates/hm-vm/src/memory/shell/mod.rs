//! An interpreter of a small subset of sh(1), for machines in memory.
//!
//! **Syntax**: `;` newline `&&` `||` `!` `|` `&` `( … )` `{ …; }` `#`; quotes `'` `"` `\`; `$X` `${X}` `${X:-default}`
//! `$?` `$$` `$(…)`; assignments, also before a command; `>` `>>` `<` `2>` `2>>` `2>&1` `>&2`. Everything else (loops,
//! conditions, functions, here-documents, file name patterns, arithmetic) is a syntax error with exit code 2 or ordinary
//! text.
//!
//! **Commands**: `:` `[` `basename` `cat` `cd` `chmod` `chown` `cp [-r]` `dirname` `echo [-n]` `env` `exec` `exit`
//! `export` `false` `find DIR` `head -c N` `id -u` `kill` (itself) `ln -s` `ls [-aA1]` `mkdir [-p]` `mv` `printf` `pwd`
//! `readlink` `rm [-rf]` `rmdir` `seq` `set -e` `sh [-e] -c CMD|FILE` `sleep` `sort` `stat -c` `test` `touch` `trap`
//! `true` `unset` `wait` `wc -c|-l`, and scripts by a path with a slash.
//!
//! A command after `&` gets no processor time until `wait`, and none at all when the shell ends first.

mod commands;
mod interpreter;
mod parse;
mod predicate;
mod print;
mod syntax;
#[cfg(test)]
mod tests;

pub(crate) use interpreter::{Invocation, run};
