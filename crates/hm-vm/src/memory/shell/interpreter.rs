//! Runs commands on a file system in memory.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hm_plugin_protocol::Stream;

use super::commands;
use super::parse::parse;
use super::syntax::{AndOr, Body, Command, Joint, List, Part, Pipeline, Redirect, Target, Word};
use crate::machine::{OutputSink, StopToken};
use crate::memory::fs::{Fs, FsError, RealPath};

/// Exit code of what SIGTERM ends.
const TERMINATED: i32 = 128 + 15;

/// Where a script runs and with what.
pub(crate) struct Invocation<'a> {
    pub(crate) fs: &'a mut Fs,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: RealPath,
    pub(crate) uid: u32,
    pub(crate) stop: StopToken,
    pub(crate) sink: Arc<dyn OutputSink>,
}

/// Runs a script to its end; the exit code. May be dropped at any time.
pub(crate) async fn run(invocation: Invocation<'_>, script: &str) -> i32 {
    let Invocation {
        fs,
        env,
        cwd,
        uid,
        stop,
        sink,
    } = invocation;
    let vars = env
        .into_iter()
        .map(|(name, value)| (name, Variable { value, exported: true }))
        .collect();
    let io = Io {
        stdin: Arc::default(),
        out: Out::Sink(Arc::clone(&sink), Stream::Stdout),
        err: Out::Sink(sink, Stream::Stderr),
    };
    let state = State {
        vars,
        cwd,
        status: 0,
        substituted: None,
        exit_on_error: false,
        on_term: OnTerm::End,
        background: Vec::new(),
        uid,
    };
    let mut shell = Shell {
        fs,
        state,
        stop,
        stop_seen: false,
    };
    shell.script(script, &io).await
}

/// The script ends here with this code.
#[derive(Debug)]
pub(super) struct Ended(pub(super) i32);

type Flow = Result<i32, Ended>;
type FlowFuture<'a> = Pin<Box<dyn Future<Output = Flow> + Send + 'a>>;

pub(super) struct Shell<'m> {
    pub(super) fs: &'m mut Fs,
    pub(super) state: State,
    stop: StopToken,
    stop_seen: bool,
}

/// What a subshell has a copy of.
#[derive(Clone)]
pub(super) struct State {
    pub(super) vars: BTreeMap<String, Variable>,
    pub(super) cwd: RealPath,
    pub(super) status: i32,
    /// Exit code of the latest `$(…)` in the command.
    substituted: Option<i32>,
    pub(super) exit_on_error: bool,
    pub(super) on_term: OnTerm,
    background: Vec<AndOr>,
    pub(super) uid: u32,
}

#[derive(Clone)]
pub(super) struct Variable {
    pub(super) value: String,
    pub(super) exported: bool,
}

/// What SIGTERM does.
#[derive(Clone)]
pub(super) enum OnTerm {
    End,
    Ignore,
    Run(String),
}

#[derive(Clone)]
pub(super) struct Io {
    pub(super) stdin: Arc<Vec<u8>>,
    out: Out,
    err: Out,
}

#[derive(Clone)]
enum Out {
    Sink(Arc<dyn OutputSink>, Stream),
    Buffer(Arc<Mutex<Vec<u8>>>),
    File(RealPath),
    Null,
}

impl Shell<'_> {
    /// Parses and runs; ends of the script stop here.
    pub(super) async fn script(&mut self, script: &str, io: &Io) -> i32 {
        let list = match parse(script) {
            Ok(list) => list,
            Err(error) => {
                self.complain(io, "sh", &error);
                return 2;
            }
        };
        match self.list(&list, io).await {
            Ok(status) | Err(Ended(status)) => status,
        }
    }

    fn list<'a>(&'a mut self, list: &'a List, io: &'a Io) -> FlowFuture<'a> {
        Box::pin(async move {
            for item in list {
                if item.background {
                    self.state.background.push(item.clone());
                    self.state.status = 0;
                } else {
                    self.and_or(item, io).await?;
                }
            }
            Ok(self.state.status)
        })
    }

    async fn and_or(&mut self, item: &AndOr, io: &Io) -> Flow {
        let mut status = self.pipeline(&item.first, io).await?;
        let mut exempt = item.first.negated || !item.rest.is_empty();
        for (at, (joint, pipeline)) in item.rest.iter().enumerate() {
            if (*joint == Joint::And) == (status == 0) {
                status = self.pipeline(pipeline, io).await?;
                exempt = pipeline.negated || at + 1 < item.rest.len();
            }
        }
        if status != 0 && self.state.exit_on_error && !exempt {
            return Err(Ended(status));
        }
        Ok(status)
    }

    async fn pipeline(&mut self, pipeline: &Pipeline, io: &Io) -> Flow {
        let mut status = 0;
        if let [command] = pipeline.commands.as_slice() {
            status = self.command(command, io).await?;
        } else {
            let mut stdin = Arc::clone(&io.stdin);
            let last = pipeline.commands.len() - 1;
            for (at, command) in pipeline.commands.iter().enumerate() {
                let buffer = Arc::new(Mutex::new(Vec::new()));
                let out = if at == last {
                    io.out.clone()
                } else {
                    Out::Buffer(Arc::clone(&buffer))
                };
                let inner = Io {
                    stdin,
                    out,
                    err: io.err.clone(),
                };
                status = self.isolated(command, &inner).await;
                stdin = Arc::new(take(&buffer));
            }
        }
        self.state.status = if pipeline.negated {
            i32::from(status == 0)
        } else {
            status
        };
        Ok(self.state.status)
    }

    /// Runs a command with a copy of the state.
    async fn isolated(&mut self, command: &Command, io: &Io) -> i32 {
        let saved = self.state.clone();
        let (Ok(status) | Err(Ended(status))) = self.command(command, io).await;
        self.state = saved;
        status
    }

    async fn command(&mut self, command: &Command, io: &Io) -> Flow {
        self.heed_stop(io).await?;
        let io = match self.redirected(&command.redirects, io).await? {
            Ok(io) => io,
            Err(status) => return Ok(status),
        };
        match &command.body {
            Body::Group(list) => self.list(list, &io).await,
            Body::Subshell(list) => {
                let saved = self.state.clone();
                let (Ok(status) | Err(Ended(status))) = self.list(list, &io).await;
                self.state = saved;
                Ok(status)
            }
            Body::Simple { assignments, words } => self.simple(assignments, words, &io).await,
        }
    }

    async fn simple(&mut self, assignments: &[(String, Word)], words: &[Word], io: &Io) -> Flow {
        self.state.substituted = None;
        let mut args = Vec::with_capacity(words.len());
        for word in words {
            self.expand(word, io, &mut args).await?;
        }
        let mut values = Vec::with_capacity(assignments.len());
        for (name, word) in assignments {
            values.push((name.clone(), self.expand_whole(word, io).await?));
        }
        if args.is_empty() {
            for (name, value) in values {
                let exported = self.state.vars.get(&name).is_some_and(|var| var.exported);
                self.state.vars.insert(name, Variable { value, exported });
            }
            return Ok(self.state.substituted.unwrap_or(0));
        }
        if values.is_empty() {
            return self.call(&args, io).await;
        }
        let saved = self.state.vars.clone();
        for (name, value) in values {
            self.state.vars.insert(name, Variable { value, exported: true });
        }
        let flow = self.call(&args, io).await;
        self.state.vars = saved;
        flow
    }

    /// Commands that wait, run others or end the script; the rest is in [`commands`].
    async fn call(&mut self, args: &[String], io: &Io) -> Flow {
        let texts: Vec<&str> = args.iter().map(String::as_str).collect();
        match texts.as_slice() {
            ["exit"] => Err(Ended(self.state.status)),
            ["exit", code, ..] => Err(Ended(code.parse::<i32>().map_or(2, |code| code & 0xff))),
            ["kill", signal, "1" | "$$" | "2"] => commands::kill(self, signal, io),
            ["sleep", time, ..] => self.sleep(time, io).await,
            ["wait", ..] => {
                for item in std::mem::take(&mut self.state.background) {
                    self.job(item, io).await;
                    self.heed_stop(io).await?;
                }
                Ok(0)
            }
            ["exec", rest @ ..] if !rest.is_empty() => {
                let status = self.boxed_call(&args[1..], io).await?;
                Err(Ended(status))
            }
            ["env", rest @ ..] if !rest.is_empty() => self.env(&args[1..], io).await,
            ["sh" | "/bin/sh", "-c", script, ..] => Ok(self.child(script, false, io).await),
            ["sh" | "/bin/sh", "-ec" | "-ce", script, ..] | ["sh" | "/bin/sh", "-e", "-c", script, ..] => {
                Ok(self.child(script, true, io).await)
            }
            ["sh" | "/bin/sh", path, ..] => match self.fs.read(&self.state.cwd, path.as_bytes()) {
                Ok(content) => Ok(self.child(&String::from_utf8_lossy(&content), false, io).await),
                Err(error) => {
                    self.complain(io, path, &error);
                    Ok(2)
                }
            },
            [path, ..] if path.contains('/') => self.script_file(path, io).await,
            [name, ..] => Ok(commands::call(self, name, &args[1..], io).unwrap_or_else(|| {
                self.complain(io, name, &"not found");
                127
            })),
            [] => Ok(0),
        }
    }

    /// Runs a command of the background. As of any job that `wait` without operands waits for, its status is nobody's.
    async fn job(&mut self, item: AndOr, io: &Io) {
        let saved = self.state.clone();
        self.reset_trap();
        let list = vec![AndOr {
            background: false,
            ..item
        }];
        drop(self.list(&list, io).await);
        self.state = saved;
    }

    /// A trap is the shell's own: others end, or go on where it ignores the signal.
    fn reset_trap(&mut self) {
        if !matches!(self.state.on_term, OnTerm::Ignore) {
            self.state.on_term = OnTerm::End;
        }
    }

    fn boxed_call<'a>(&'a mut self, args: &'a [String], io: &'a Io) -> FlowFuture<'a> {
        Box::pin(self.call(args, io))
    }

    /// Another `sh`: it has the exported variables only.
    async fn child(&mut self, script: &str, exit_on_error: bool, io: &Io) -> i32 {
        let saved = self.state.clone();
        self.state.vars.retain(|_, var| var.exported);
        self.state.exit_on_error = exit_on_error;
        self.reset_trap();
        let status = self.script(script, io).await;
        self.state = saved;
        status
    }

    async fn script_file(&mut self, path: &str, io: &Io) -> Flow {
        let found = self.fs.stat(&self.state.cwd, path.as_bytes(), true);
        let (complaint, code) = match found {
            Err(FsError::NotFound) => ("not found", 127),
            Ok(node) if !node.is_dir() && node.mode & 0o111 != 0 => {
                return match self.fs.read(&self.state.cwd, path.as_bytes()) {
                    Ok(content) => Ok(self.child(&String::from_utf8_lossy(&content), false, io).await),
                    Err(_) => Ok(126),
                };
            }
            Ok(_) | Err(_) => ("Permission denied", 126),
        };
        self.complain(io, path, &complaint);
        Ok(code)
    }

    /// `env NAME=VALUE… COMMAND…`
    async fn env(&mut self, args: &[String], io: &Io) -> Flow {
        let saved = self.state.vars.clone();
        let mut rest = args;
        while let Some((first, after)) = rest.split_first() {
            if first == "-i" {
                self.state.vars.clear();
            } else if let Some((name, value)) = first.split_once('=') {
                self.state.vars.insert(
                    name.to_owned(),
                    Variable {
                        value: value.to_owned(),
                        exported: true,
                    },
                );
            } else {
                break;
            }
            rest = after;
        }
        let flow = if rest.is_empty() {
            Ok(commands::call(self, "env", &[], io).unwrap_or(127))
        } else {
            self.boxed_call(rest, io).await
        };
        self.state.vars = saved;
        flow
    }

    async fn sleep(&mut self, time: &str, io: &Io) -> Flow {
        let Some(seconds) = time
            .trim_end_matches('s')
            .parse::<f64>()
            .ok()
            .filter(|s| s.is_finite() && *s >= 0.0)
        else {
            self.complain(io, "sleep", &format_args!("invalid time interval {time:?}"));
            return Ok(1);
        };
        let end = tokio::time::sleep(Duration::from_secs_f64(seconds));
        if self.stop_seen || matches!(self.state.on_term, OnTerm::Ignore) {
            end.await;
            return Ok(0);
        }
        let stop = self.stop.clone();
        tokio::select! {
            () = end => Ok(0),
            () = stop.stopped() => {
                self.heed_stop(io).await?;
                Ok(TERMINATED)
            }
        }
    }

    /// Does what SIGTERM does, once.
    async fn heed_stop(&mut self, io: &Io) -> Result<(), Ended> {
        if self.stop_seen || !self.stop.is_stopped() {
            return Ok(());
        }
        match self.state.on_term.clone() {
            OnTerm::Ignore => {}
            OnTerm::End => return Err(Ended(TERMINATED)),
            OnTerm::Run(script) => {
                self.stop_seen = true;
                if let Ok(list) = parse(&script) {
                    self.list(&list, io).await?;
                }
            }
        }
        Ok(())
    }

    /// The streams of a command, or the exit code where one can't be opened.
    async fn redirected(&mut self, redirects: &[Redirect], io: &Io) -> Result<Result<Io, i32>, Ended> {
        let mut to = io.clone();
        for Redirect { fd, to: target } in redirects {
            let (word, append) = match target {
                Target::Fd(from) => {
                    let copy = if *from == 1 { to.out.clone() } else { to.err.clone() };
                    *(if *fd == 2 { &mut to.err } else { &mut to.out }) = copy;
                    continue;
                }
                Target::Read(word) | Target::Write(word) => (word, false),
                Target::Append(word) => (word, true),
            };
            let path = self.expand_whole(word, io).await?;
            let is_null = self
                .fs
                .resolve(&self.state.cwd, path.as_bytes(), true)
                .is_ok_and(|p| p == ["dev", "null"]);
            let opened = match target {
                _ if is_null && matches!(target, Target::Read(_)) => {
                    to.stdin = Arc::default();
                    continue;
                }
                _ if is_null => Ok(Out::Null),
                Target::Read(_) => match self.fs.read(&self.state.cwd, path.as_bytes()) {
                    Ok(content) => {
                        to.stdin = content;
                        continue;
                    }
                    Err(error) => Err(error),
                },
                Target::Write(_) | Target::Append(_) | Target::Fd(_) => self
                    .fs
                    .open_for_writing(&self.state.cwd, path.as_bytes(), append)
                    .map(Out::File),
            };
            match opened {
                Ok(out) if *fd == 2 => to.err = out,
                Ok(out) => to.out = out,
                Err(error) => {
                    self.complain(io, &path, &error);
                    return Ok(Err(2));
                }
            }
        }
        Ok(Ok(to))
    }

    /// One word to any number of arguments.
    async fn expand(&mut self, word: &Word, io: &Io, args: &mut Vec<String>) -> Result<(), Ended> {
        if let [Part::Text { text, .. }] = word.as_slice() {
            args.push(text.clone());
            return Ok(());
        }
        let mut current: Option<String> = None;
        for part in word {
            let (text, quoted) = self.part(part, io).await?;
            if quoted || matches!(part, Part::Text { .. }) {
                current.get_or_insert_default().push_str(&text);
                continue;
            }
            if text.starts_with(char::is_whitespace) {
                args.extend(current.take());
            }
            let mut fields = text.split_whitespace().peekable();
            while let Some(field) = fields.next() {
                current.get_or_insert_default().push_str(field);
                if fields.peek().is_some() || text.ends_with(char::is_whitespace) {
                    args.extend(current.take());
                }
            }
        }
        args.extend(current);
        Ok(())
    }

    /// One word to one text.
    async fn expand_whole(&mut self, word: &Word, io: &Io) -> Result<String, Ended> {
        let mut whole = String::new();
        for part in word {
            whole.push_str(&self.part(part, io).await?.0);
        }
        Ok(whole)
    }

    async fn part(&mut self, part: &Part, io: &Io) -> Result<(String, bool), Ended> {
        match part {
            Part::Text { text, quoted } => Ok((text.clone(), *quoted)),
            Part::Variable { name, default, quoted } => {
                let value = match name.as_str() {
                    "?" => self.state.status.to_string(),
                    "$" => "2".to_owned(),
                    name => self
                        .state
                        .vars
                        .get(name)
                        .map(|var| var.value.clone())
                        .unwrap_or_default(),
                };
                match default {
                    Some(default) if value.is_empty() => Ok((Box::pin(self.expand_whole(default, io)).await?, *quoted)),
                    Some(_) | None => Ok((value, *quoted)),
                }
            }
            Part::Substitution { list, quoted } => {
                let buffer = Arc::new(Mutex::new(Vec::new()));
                let inner = Io {
                    out: Out::Buffer(Arc::clone(&buffer)),
                    ..io.clone()
                };
                let saved = self.state.clone();
                let (Ok(status) | Err(Ended(status))) = self.list(list, &inner).await;
                self.state = saved;
                self.state.substituted = Some(status);
                let text = String::from_utf8_lossy(&take(&buffer)).into_owned();
                Ok((text.trim_end_matches('\n').to_owned(), *quoted))
            }
        }
    }

    pub(super) fn write(&mut self, io: &Io, bytes: &[u8]) {
        self.write_to(&io.out, bytes);
    }

    /// A message on the error stream as the tools write it.
    pub(super) fn complain(&mut self, io: &Io, who: &str, what: &dyn std::fmt::Display) {
        let out = io.err.clone();
        self.write_to(&out, format!("{who}: {what}\n").as_bytes());
    }

    fn write_to(&mut self, out: &Out, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match out {
            Out::Sink(sink, stream) => sink.write(*stream, bytes),
            Out::Buffer(buffer) => buffer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes),
            // A file that was removed while it was open takes what is written to it along.
            Out::File(path) => drop(self.fs.append(path, bytes)),
            Out::Null => {}
        }
    }
}

fn take(buffer: &Mutex<Vec<u8>>) -> Vec<u8> {
    std::mem::take(&mut *buffer.lock().unwrap_or_else(PoisonError::into_inner))
}
