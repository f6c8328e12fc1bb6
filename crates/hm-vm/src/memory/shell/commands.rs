//! The commands that neither wait nor run others.

use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::interpreter::{Ended, Io, OnTerm, Shell, Variable};
use super::{predicate, print};
use crate::memory::fs::{FsError, display};
use crate::memory::node::{Kind, Node};

/// Output of `seq` is written in pieces of about this many bytes.
const PIECE: usize = 64 * 1024;

/// Runs the command; `None` where there is no such command.
pub(super) fn call(shell: &mut Shell<'_>, name: &str, args: &[String], io: &Io) -> Option<i32> {
    let texts: Vec<&str> = args.iter().map(String::as_str).collect();
    let (flags, operands) = split_flags(&texts);
    let mut tool = Tool {
        shell,
        io,
        name,
        status: 0,
    };
    match name {
        "true" | ":" => {}
        "false" => return Some(1),
        "exec" => {}
        "echo" => tool.echo(&texts),
        "printf" => match args.split_first() {
            Some((format, rest)) => tool.write(&print::printf(format, rest)),
            None => tool.complain(&"missing operand"),
        },
        "seq" => tool.seq(args),
        "cat" => tool.cat(operands),
        "head" | "wc" => tool.count(&texts),
        "sort" => tool.sort(operands),
        "test" => return Some(tool.test(&texts)),
        "[" => return Some(tool.bracket(&texts)),
        "cd" => tool.cd(operands),
        "pwd" => tool.line(&display(&tool.shell.state.cwd)),
        "ls" => tool.ls(&flags, operands),
        "find" => tool.find(&texts),
        "readlink" => tool.each(operands, Tool::readlink),
        "stat" => tool.stat(&texts),
        "basename" => tool.base(operands, true),
        "dirname" => tool.base(operands, false),
        "touch" => tool.each(operands, |tool, path| {
            let opened = tool.shell.fs.open_for_writing(&tool.shell.state.cwd, path, true);
            opened
                .map(drop)
                .or_else(|error| if error == FsError::IsDir { Ok(()) } else { Err(error) })
        }),
        "mkdir" if flags.contains('p') => tool.each(operands, Tool::make_dirs),
        "mkdir" => tool.each(operands, |tool, path| tool.make(path, Node::dir())),
        "rmdir" => tool.each(operands, Tool::remove_dir),
        "rm" => {
            let (recursive, force) = (flags.contains(['r', 'R']), flags.contains('f'));
            tool.each(operands, |tool, path| tool.remove(path, recursive, force));
        }
        "ln" => match operands {
            [target, path] if flags.contains('s') => {
                let node = Node::symlink(*target);
                tool.each(&[path], |tool, path| tool.make(path, node.clone()));
            }
            _ => tool.complain(&"only -s TARGET NAME is known"),
        },
        "mv" => tool.pair(operands, |tool, from, to| {
            tool.shell.fs.rename(&tool.shell.state.cwd, from, to)
        }),
        "cp" => {
            let whole = flags.contains(['r', 'a', 'R']);
            tool.pair(operands, |tool, from, to| {
                tool.shell.fs.copy(&tool.shell.state.cwd, from, to, whole)
            });
        }
        "chmod" => tool.chmod(&texts),
        "chown" => tool.chown(operands),
        "env" => tool.print_env(),
        "export" => tool.export(&texts),
        "unset" => texts.iter().for_each(|name| drop(tool.shell.state.vars.remove(*name))),
        "set" => tool.shell.state.exit_on_error = texts.contains(&"-e"),
        "trap" => tool.trap(&texts),
        "id" => {
            let uid = tool.shell.state.uid.to_string();
            tool.line(uid.as_bytes());
        }
        _ => return None,
    }
    Some(tool.status)
}

/// `kill` of the shell itself.
pub(super) fn kill(shell: &mut Shell<'_>, signal: &str, io: &Io) -> Result<i32, Ended> {
    let number = match signal.trim_start_matches('-') {
        "HUP" => 1,
        "INT" => 2,
        "KILL" => 9,
        "TERM" => 15,
        other => {
            let Ok(number) = other.parse::<i32>() else {
                shell.complain(io, "kill", &"unknown signal");
                return Ok(1);
            };
            number
        }
    };
    Err(Ended(128 + number))
}

/// Leading words that begin with `-` and a letter, joined, and what follows them.
fn split_flags<'a, 's>(args: &'a [&'s str]) -> (String, &'a [&'s str]) {
    let flags = args
        .iter()
        .take_while(|arg| arg.len() > 1 && arg.starts_with('-') && **arg != "--")
        .count();
    let (given, mut operands) = args.split_at(flags);
    if let ["--", rest @ ..] = operands {
        operands = rest;
    }
    (
        given.iter().map(|flag| flag.trim_start_matches('-')).collect(),
        operands,
    )
}

/// One command at work.
struct Tool<'t, 'm> {
    shell: &'t mut Shell<'m>,
    io: &'t Io,
    name: &'t str,
    status: i32,
}

impl Tool<'_, '_> {
    fn write(&mut self, bytes: &[u8]) {
        self.shell.write(self.io, bytes);
    }

    fn line(&mut self, text: &[u8]) {
        let mut line = text.to_vec();
        line.push(b'\n');
        self.write(&line);
    }

    fn complain(&mut self, what: &dyn Display) {
        self.shell.complain(self.io, self.name, what);
        self.status = 1;
    }

    /// Does something for each operand and says what went wrong.
    fn each(&mut self, paths: &[&str], act: impl Fn(&mut Self, &[u8]) -> Result<(), FsError>) {
        if paths.is_empty() {
            self.complain(&"missing operand");
        }
        for path in paths {
            if let Err(error) = act(self, path.as_bytes()) {
                self.complain(&format_args!("{path}: {error}"));
            }
        }
    }

    fn pair(&mut self, paths: &[&str], act: impl Fn(&mut Self, &[u8], &[u8]) -> Result<(), FsError>) {
        match paths {
            [from, to] => {
                if let Err(error) = act(self, from.as_bytes(), to.as_bytes()) {
                    self.complain(&format_args!("{from} to {to}: {error}"));
                }
            }
            _ => self.complain(&"two operands are needed"),
        }
    }

    fn make(&mut self, path: &[u8], mut node: Node) -> Result<(), FsError> {
        (node.uid, node.gid) = (self.shell.state.uid, self.shell.state.uid);
        self.shell.fs.make(&self.shell.state.cwd, path, node)
    }

    fn make_dirs(&mut self, path: &[u8]) -> Result<(), FsError> {
        self.shell.fs.make_dirs(&self.shell.state.cwd, path)
    }

    fn echo(&mut self, args: &[&str]) {
        match args {
            ["-n", rest @ ..] => self.write(rest.join(" ").as_bytes()),
            _ => self.line(args.join(" ").as_bytes()),
        }
    }

    fn seq(&mut self, args: &[String]) {
        let Some((first, step, last)) = print::seq_range(args) else {
            self.complain(&"numbers are needed");
            return;
        };
        let mut piece = Vec::with_capacity(PIECE + 32);
        let mut number = first;
        while if step > 0 { number <= last } else { number >= last } {
            piece.extend_from_slice(number.to_string().as_bytes());
            piece.push(b'\n');
            if piece.len() >= PIECE {
                self.write(&piece);
                piece.clear();
            }
            number += step;
        }
        self.write(&piece);
    }

    fn input(&mut self, path: &str) -> Option<Arc<Vec<u8>>> {
        if path == "-" {
            return Some(Arc::clone(&self.io.stdin));
        }
        match self.shell.fs.read(&self.shell.state.cwd, path.as_bytes()) {
            Ok(content) => Some(content),
            Err(error) => {
                self.complain(&format_args!("{path}: {error}"));
                None
            }
        }
    }

    fn cat(&mut self, paths: &[&str]) {
        let paths = if paths.is_empty() { &["-"] } else { paths };
        for path in paths {
            if let Some(content) = self.input(path) {
                self.write(&content);
            }
        }
    }

    /// `head -c N`, `wc -c`, `wc -l`, of one file or the input.
    fn count(&mut self, args: &[&str]) {
        let (what, path) = match (self.name, args) {
            ("head", ["-c", number, rest @ ..]) => (number.parse::<usize>().ok(), rest.first()),
            ("wc", ["-c" | "-l", rest @ ..]) => (Some(0), rest.first()),
            _ => (None, None),
        };
        let Some(number) = what else {
            self.complain(&"only head -c N, wc -c and wc -l are known");
            return;
        };
        let Some(content) = self.input(path.unwrap_or(&"-")) else {
            return;
        };
        if self.name == "head" {
            self.write(&content[..number.min(content.len())]);
        } else if args[0] == "-c" {
            self.line(content.len().to_string().as_bytes());
        } else {
            let lines = content.split(|byte| *byte == b'\n').count() - 1;
            self.line(lines.to_string().as_bytes());
        }
    }

    fn sort(&mut self, paths: &[&str]) {
        let Some(content) = self.input(paths.first().unwrap_or(&"-")) else {
            return;
        };
        let text = content.strip_suffix(b"\n").unwrap_or(&content);
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        lines.sort_unstable();
        if !content.is_empty() {
            self.line(&lines.join(&b'\n'));
        }
    }

    fn test(&mut self, args: &[&str]) -> i32 {
        if let Some(held) = predicate::holds(self.shell, args) {
            i32::from(!held)
        } else {
            self.complain(&"not an expression of the subset");
            2
        }
    }

    fn bracket(&mut self, args: &[&str]) -> i32 {
        if let [inner @ .., "]"] = args {
            self.test(inner)
        } else {
            self.complain(&"missing ]");
            2
        }
    }

    fn cd(&mut self, operands: &[&str]) {
        let home = self
            .shell
            .state
            .vars
            .get("HOME")
            .map_or_else(|| "/".to_owned(), |home| home.value.clone());
        let path = operands.first().map_or(home.as_str(), |path| *path);
        let real = self.shell.fs.resolve(&self.shell.state.cwd, path.as_bytes(), true);
        match real.map(|real| (self.shell.fs.at(&real).map(|node| node.is_dir()), real)) {
            Ok((Some(true), real)) => self.shell.state.cwd = real,
            Ok((Some(false), _)) => self.complain(&format_args!("{path}: {}", FsError::NotDir)),
            Ok((None, _)) => self.complain(&format_args!("{path}: {}", FsError::NotFound)),
            Err(error) => self.complain(&format_args!("{path}: {error}")),
        }
    }

    fn ls(&mut self, flags: &str, paths: &[&str]) {
        let hidden = flags.contains(['a', 'A']);
        let paths = if paths.is_empty() { &["."] } else { paths };
        for path in paths {
            let names = match self.shell.fs.list(&self.shell.state.cwd, path.as_bytes()) {
                Ok(names) => names,
                Err(FsError::NotDir) => vec![(*path).into()],
                Err(error) => {
                    self.complain(&format_args!("{path}: {error}"));
                    self.status = 2;
                    continue;
                }
            };
            for name in names.iter().filter(|name| hidden || !name.as_bytes().starts_with(b".")) {
                self.line(name.as_bytes());
            }
        }
    }

    /// All below the folder, each with the folder's path before it.
    fn find(&mut self, paths: &[&str]) {
        for path in paths {
            match self
                .shell
                .fs
                .stat(&self.shell.state.cwd, path.as_bytes(), false)
                .cloned()
            {
                Ok(node) => {
                    let mut found = Vec::new();
                    collect(path.as_bytes().to_vec(), &node, &mut found);
                    for path in &found {
                        self.line(path);
                    }
                }
                Err(error) => self.complain(&format_args!("{path}: {error}")),
            }
        }
    }

    fn readlink(&mut self, path: &[u8]) -> Result<(), FsError> {
        let node = Arc::clone(self.shell.fs.stat(&self.shell.state.cwd, path, false)?);
        match &node.kind {
            Kind::Symlink(target) => {
                self.line(target.as_bytes());
                Ok(())
            }
            Kind::File(_) | Kind::Dir(_) => {
                self.status = 1;
                Ok(())
            }
        }
    }

    /// `stat -c FORMAT PATH…`
    fn stat(&mut self, args: &[&str]) {
        let ["-c", format, paths @ ..] = args else {
            self.complain(&"only -c FORMAT is known");
            return;
        };
        self.each(paths, |tool, path| {
            let node = Arc::clone(tool.shell.fs.stat(&tool.shell.state.cwd, path, false)?);
            let (kind, size) = match &node.kind {
                Kind::File(content) if content.is_empty() => ("regular empty file", 0),
                Kind::File(content) => ("regular file", content.len()),
                Kind::Dir(_) => ("directory", 4096),
                Kind::Symlink(target) => ("symbolic link", target.len()),
            };
            let text = format
                .replace("%a", &format!("{:o}", node.mode))
                .replace("%u", &node.uid.to_string())
                .replace("%g", &node.gid.to_string())
                .replace("%s", &size.to_string())
                .replace("%Y", &(node.mtime_ns.div_euclid(1_000_000_000)).to_string())
                .replace("%F", kind)
                .replace("%n", &String::from_utf8_lossy(path));
            tool.line(text.as_bytes());
            Ok(())
        });
    }

    fn base(&mut self, operands: &[&str], last: bool) {
        let path = operands.first().copied().unwrap_or_default().trim_end_matches('/');
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        self.line(if last { name } else { folder }.as_bytes());
    }

    fn remove_dir(&mut self, path: &[u8]) -> Result<(), FsError> {
        let real = self.shell.fs.resolve(&self.shell.state.cwd, path, false)?;
        match &self.shell.fs.at(&real).ok_or(FsError::NotFound)?.kind {
            Kind::Dir(entries) if entries.is_empty() => self.shell.fs.take(&real).map(drop),
            Kind::Dir(_) => Err(FsError::NotEmpty),
            Kind::File(_) | Kind::Symlink(_) => Err(FsError::NotDir),
        }
    }

    fn remove(&mut self, path: &[u8], recursive: bool, force: bool) -> Result<(), FsError> {
        let real = match self.shell.fs.resolve(&self.shell.state.cwd, path, false) {
            Err(FsError::NotFound | FsError::NotDir) if force => return Ok(()),
            other => other?,
        };
        match self.shell.fs.at(&real) {
            None if force => Ok(()),
            None => Err(FsError::NotFound),
            Some(node) if node.is_dir() && !recursive => Err(FsError::IsDir),
            Some(_) => self.shell.fs.take(&real).map(drop),
        }
    }

    fn chmod(&mut self, args: &[&str]) {
        let [mode, paths @ ..] = args else {
            self.complain(&"missing operand");
            return;
        };
        let change: fn(u32, u32) -> u32 = match mode.chars().find(|c| "+-".contains(*c)) {
            Some('+') => |old, bits| old | bits,
            Some(_) => |old, bits| old & !bits,
            None => |_, bits| bits,
        };
        let bits = match mode.split_once(['+', '-']) {
            None => u32::from_str_radix(mode, 8).ok(),
            Some((who, what)) => symbolic(who, what),
        };
        let Some(bits) = bits else {
            self.complain(&format_args!("invalid mode: {mode}"));
            return;
        };
        self.each(paths, |tool, path| {
            let real = tool.shell.fs.resolve(&tool.shell.state.cwd, path, true)?;
            let node = tool.shell.fs.node_mut(&real)?;
            node.mode = change(node.mode, bits);
            Ok(())
        });
    }

    fn chown(&mut self, operands: &[&str]) {
        let [owner, paths @ ..] = operands else {
            self.complain(&"missing operand");
            return;
        };
        let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
        let (Ok(uid), gid) = (user.parse::<u32>(), group.parse::<u32>().ok()) else {
            self.complain(&"only numbers are known");
            return;
        };
        self.each(paths, |tool, path| {
            let real = tool.shell.fs.resolve(&tool.shell.state.cwd, path, true)?;
            let node = tool.shell.fs.node_mut(&real)?;
            (node.uid, node.gid) = (uid, gid.unwrap_or(node.gid));
            Ok(())
        });
    }

    fn print_env(&mut self) {
        let mut lines = String::new();
        for (name, var) in self.shell.state.vars.iter().filter(|(_, var)| var.exported) {
            lines.extend([name, "=", &var.value, "\n"]);
        }
        self.write(lines.as_bytes());
    }

    fn export(&mut self, args: &[&str]) {
        for arg in args {
            match arg.split_once('=') {
                Some((name, value)) => {
                    let var = Variable {
                        value: value.to_owned(),
                        exported: true,
                    };
                    self.shell.state.vars.insert(name.to_owned(), var);
                }
                None => {
                    if let Some(var) = self.shell.state.vars.get_mut(*arg) {
                        var.exported = true;
                    }
                }
            }
        }
    }

    fn trap(&mut self, args: &[&str]) {
        match args {
            [action, "TERM" | "15"] => {
                self.shell.state.on_term = match *action {
                    "" => OnTerm::Ignore,
                    "-" => OnTerm::End,
                    script => OnTerm::Run(script.to_owned()),
                };
            }
            _ => self.complain(&"only one action for TERM is known"),
        }
    }
}

/// Bits of `u+x` and the like.
fn symbolic(who: &str, what: &str) -> Option<u32> {
    let classes = who.chars().try_fold(0, |mask, c| {
        Some(
            mask | match c {
                'u' => 0o700,
                'g' => 0o070,
                'o' => 0o007,
                'a' => 0o777,
                _ => return None,
            },
        )
    })?;
    let classes = if classes == 0 { 0o777 } else { classes };
    let bits = what.chars().try_fold(0, |bits, c| {
        Some(
            bits | match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                _ => return None,
            },
        )
    })?;
    Some(classes & bits)
}

fn collect(path: Vec<u8>, node: &Node, found: &mut Vec<Vec<u8>>) {
    if let Kind::Dir(entries) = &node.kind {
        found.push(path.clone());
        for (name, child) in entries {
            collect([path.as_slice(), b"/", name.as_bytes()].concat(), child, found);
        }
    } else {
        found.push(path);
    }
}
