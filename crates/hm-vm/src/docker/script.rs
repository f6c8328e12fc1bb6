//! A command as the text that a container's shell reads.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::machine::own_line;

/// Variables that engines set by themselves; the last two are Podman's.
const OF_THE_ENGINE: [&str; 4] = ["HOSTNAME", "TINI_KILL_PROCESS_GROUP", "TERM", "container"];
/// Variables that some shells keep for themselves: an assignment is an error, or isn't passed on.
const OF_THE_SHELL: [&str; 18] = [
    "BASHOPTS",
    "BASH_VERSINFO",
    "ENV",
    "EUID",
    "GROUPS",
    "IFS",
    "LINENO",
    "OLDPWD",
    "OPTARG",
    "OPTIND",
    "PPID",
    "PS1",
    "PS2",
    "PS4",
    "PWD",
    "SHELLOPTS",
    "SHLVL",
    "UID",
];
/// Ends the text; a line of its own.
pub(super) const END: &str = "# hm: end";

/// Adds the machine's name to `/etc/hosts`, where the user may: on the host's network the engine's file is the host's, and
/// an engine that is given names puts nothing else in it.
pub(super) fn own_name() -> String {
    format!(
        "{{ echo {} >> /etc/hosts; }} 2> /dev/null\n",
        quoted(own_line().trim_end())
    )
}

/// The text: the working folder, the environment, and the command in a shell of its own. `env` is all that the command is
/// to see; `given` names what the container's own environment holds.
pub(super) fn script<'a>(
    cmd: &str,
    env: &BTreeMap<String, String>,
    given: impl IntoIterator<Item = &'a str>,
    workdir: &str,
) -> String {
    let mut text = format!("cd {} 2> /dev/null || exit 127\nunset OLDPWD\n", quoted(workdir));
    let mut line = |told: std::fmt::Arguments<'_>| text.write_fmt(told).is_ok();
    for name in given.into_iter().chain(OF_THE_ENGINE) {
        if is_plain(name) && !env.contains_key(name) {
            line(format_args!("unset {name}\n"));
        }
    }
    let (plain, odd): (Vec<_>, Vec<_>) = env.iter().partition(|(name, _)| is_plain(name));
    for (name, value) in plain {
        line(format_args!("export {name}={}\n", quoted(value)));
    }
    line(format_args!("exec "));
    if !odd.is_empty() {
        line(format_args!("env "));
    }
    for (name, value) in odd {
        line(format_args!("{} ", quoted(&format!("{name}={value}"))));
    }
    line(format_args!("sh -c {}\n{END}\n", quoted(cmd)));
    text
}

/// Whether every shell takes an assignment to it, and passes it on.
fn is_plain(name: &str) -> bool {
    let mut letters = name.bytes();
    let starts = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    starts && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_') && !OF_THE_SHELL.contains(&name)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::super::container::READER;
    use super::*;

    /// What a real shell makes of it.
    fn ran(text: impl AsRef<[u8]>) -> (Option<i32>, String) {
        let mut child = Command::new("sh")
            .args(["-c", READER, "sh", END])
            .env_clear()
            .envs([
                ("PATH", "/usr/bin:/bin"),
                ("HOSTNAME", "engine"),
                ("OF_THE_IMAGE", "1"),
                ("TINI_KILL_PROCESS_GROUP", "1"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_ref()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .chain(&[("PATH", "/usr/bin:/bin")])
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_command_sees_the_environment_that_is_given_and_no_other() {
        let env = env(&[
            ("A", "it's\n \\ $x `y` \"z\" "),
            ("a.b", "odd"),
            ("UID", "7"),
            ("PS1", "> "),
        ]);
        let cmd = "env | sort | grep -v -e ^a.b= -e ^_= -e ^PWD= -e ^SHLVL=; pwd; cat";
        let (exit, said) = ran(script(cmd, &env, ["OF_THE_IMAGE", "PATH"], "/"));
        let mut expected = "A=it's\n \\ $x `y` \"z\" \nPATH=/usr/bin:/bin\nPS1=> \nUID=7\n"
            .split_inclusive('\n')
            .collect::<Vec<_>>();
        expected.sort_unstable();
        let mut lines: Vec<_> = said.split_inclusive('\n').collect();
        assert_eq!(lines.pop(), Some("/\n"));
        lines.sort_unstable();
        assert_eq!((exit, lines), (Some(0), expected));
    }

    #[test]
    fn commands_are_taken_as_they_are() {
        for cmd in [
            "printf '%s' \"it's\"; exit 3",
            "# a comment\nprintf \"it's\"\n\nexit 3\n",
            "printf \"it's\"; exit 3 \\",
        ] {
            assert_eq!(
                ran(script(cmd, &env(&[]), [], "/")),
                (Some(3), "it's".to_owned()),
                "{cmd}"
            );
        }
    }

    #[test]
    fn half_a_text_is_not_run() {
        let text = script("echo ran", &env(&[]), [], "/");
        for cut in 0..text.len() - 1 {
            assert_eq!(ran(&text.as_bytes()[..cut]), (Some(125), String::new()), "{cut}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_127() {
        assert_eq!(
            ran(script("echo ran", &env(&[]), [], "/no/such")),
            (Some(127), String::new())
        );
    }
}
