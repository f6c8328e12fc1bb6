//! The steps of a job.

use std::collections::BTreeSet;

use super::actions::{self, Action, Used};
use super::calls::Call;
use super::container::{Variables, variables};
use super::expression::{Place, Scope, Secrets, Status, Table, Text, Truth, condition, text, truth_of_text};
use super::fields::Fields;
use super::helpers::{Helper, Helpers};
use super::notes::{Note, Notes};
use super::plain;
use super::python::{self, Piece};
use super::setup::Setup;
use super::yaml::Node;

/// What a job's steps have in common.
pub(super) struct Common<'a> {
    pub(super) notes: &'a Notes,
    pub(super) helpers: &'a Helpers,
    pub(super) scope: Scope,
    /// The beginning of every label.
    pub(super) title: Vec<Piece>,
    pub(super) shell: Option<String>,
    /// Python source of the folder.
    pub(super) folder: Option<String>,
    /// Shell of a script that names none.
    pub(super) plain_shell: &'static str,
    /// Python source of the minutes.
    pub(super) timeout: Option<String>,
    pub(super) allow_failure: Option<String>,
    /// Secret and variable.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) has_services: bool,
}

/// A line of a job's function.
#[derive(Debug)]
pub(super) enum Item {
    Notes(Vec<Note>),
    Run(Run),
    Setup {
        condition: Option<String>,
        call: Call,
    },
    /// Entries of `mounts` for all that follows.
    Mounts(Vec<(String, String)>),
}

/// A command.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) condition: Option<String>,
    pub(super) command: String,
    pub(super) folder: Option<String>,
    pub(super) label: String,
    pub(super) env: Vec<(String, String)>,
    pub(super) allow_failure: Option<String>,
    /// Secret and variable.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) outputs: Vec<String>,
    /// Python source of the minutes.
    pub(super) timeout: Option<String>,
}

pub(super) fn items(steps: &[Node], common: &Common<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    for step in steps {
        let mark = common.notes.mark();
        let made = one(step, common, &mut items);
        let notes = common.notes.since(mark);
        if !notes.is_empty() {
            items.push(Item::Notes(notes));
        }
        items.extend(made);
    }
    items
}

fn one(step: &Node, common: &Common<'_>, before: &mut [Item]) -> Vec<Item> {
    let notes = common.notes;
    let fields = Fields::of(step, "a step", notes);
    fields.drop_silently(&["id"]);
    let name = fields
        .take("name")
        .and_then(|node| Some((node.line, node.text()?.to_owned())));
    let condition = match fields.take("if") {
        Some(node) => match runs_if(node, keeps_files(&fields), &common.scope, notes) {
            Some(condition) => condition,
            None => return Vec::new(),
        },
        None => None,
    };
    let made: Vec<Item> = match (fields.take("run"), fields.take("uses")) {
        (Some(run), _) => script(run, name.as_ref(), condition, &fields, common)
            .map(Item::Run)
            .into_iter()
            .collect(),
        (None, Some(uses)) => {
            fields.drop_silently(&["env", "timeout-minutes", "continue-on-error"]);
            used(uses, fields.take("with"), condition, common, before)
        }
        (None, None) => {
            notes.add(step.line, "not mapped: a step that neither runs nor uses anything");
            Vec::new()
        }
    };
    fields.note_rest("a step", notes);
    made
}

/// Whether the step uploads files, which are kept of a failed step too.
fn keeps_files(fields: &Fields<'_>) -> bool {
    let uses = fields.look("uses").and_then(Node::text);
    uses.is_some_and(|uses| uses.starts_with("actions/upload-artifact@"))
}

/// The condition that is left for Python to check; the outer `None` where the step is left out.
#[expect(
    clippy::option_option,
    reason = "left out, always, and under a condition are three things"
)]
fn runs_if(node: &Node, keeps_files: bool, scope: &Scope, notes: &Notes) -> Option<Option<String>> {
    let source = node.text().unwrap_or_default().trim();
    let condition = condition(source, scope);
    match condition.status {
        Status::Always | Status::Failure if keeps_files => {}
        Status::Failure => {
            notes.add(
                node.line,
                "not mapped: the step runs only after a failure, so it is left out",
            );
            return None;
        }
        Status::Always => notes.add(
            node.line,
            format!("not mapped: `if: {source}`; the step runs after success only"),
        ),
        Status::Success => {}
    }
    match condition.truth {
        Truth::Known(true) => Some(None),
        Truth::Known(false) => {
            notes.add(node.line, format!("left out: `if: {source}` is never true here"));
            None
        }
        Truth::Python(python) => Some(Some(python)),
        Truth::Unknown => {
            notes.add(node.line, format!("not mapped: `if: {source}`; the step always runs"));
            Some(None)
        }
    }
}

fn used(
    uses: &Node,
    with: Option<&Node>,
    condition: Option<String>,
    common: &Common<'_>,
    before: &mut [Item],
) -> Vec<Item> {
    let made = actions::action(&Used {
        line: uses.line,
        uses: uses.text().unwrap_or_default(),
        with,
        scope: &common.scope,
        notes: common.notes,
        helpers: common.helpers,
    });
    match made {
        Action::Setup(Setup { call, caches }) => {
            let mut items = vec![Item::Setup { condition, call }];
            items.extend((!caches.is_empty()).then_some(Item::Mounts(caches)));
            items
        }
        Action::Caches(caches) if !caches.is_empty() => vec![Item::Mounts(caches)],
        Action::Outputs(outputs) => {
            keep(outputs, uses.line, common.notes, before);
            Vec::new()
        }
        Action::Caches(_) | Action::Nothing | Action::Unknown => Vec::new(),
    }
}

/// The files of an artifact are those of the last command before it.
fn keep(outputs: Vec<String>, line: usize, notes: &Notes, before: &mut [Item]) {
    let last = before.iter_mut().rev().find_map(|item| match item {
        Item::Run(run) => Some(run),
        Item::Notes(_) | Item::Setup { .. } | Item::Mounts(_) => None,
    });
    match last {
        Some(run) => run.outputs.extend(outputs),
        None => notes.add(line, "not mapped: no command is before the artifact"),
    }
}

fn script(
    node: &Node,
    name: Option<&(usize, String)>,
    condition: Option<String>,
    fields: &Fields<'_>,
    common: &Common<'_>,
) -> Option<Run> {
    let notes = common.notes;
    let Some(source) = node.text() else {
        notes.add(node.line, "not mapped: `run` is no text, so the step is left out");
        return None;
    };
    let own = fields
        .take("env")
        .map_or_else(Variables::default, |env| variables(env, &common.scope, notes));
    let scope = common.scope.with_variables(&own.plain);
    note_files(source, node.line, notes);
    let shell = fields.take("shell").and_then(Node::text).or(common.shell.as_deref());
    let shell = Shell::of(shell.unwrap_or_default(), node.line, common)?;
    let place = if shell.is_posix { Place::Script } else { Place::Code };
    let made = text(source, node.line, &scope, place, notes);
    let command = command(&made, &shell, common);
    let folder = fields
        .take("working-directory")
        .and_then(|node| folder(node, &scope, notes));
    let allow_failure = match fields.take("continue-on-error") {
        Some(node) => allowed(node, &scope, notes),
        None => common.allow_failure.clone(),
    };
    let timeout = fields
        .take("timeout-minutes")
        .and_then(|node| minutes(node, &scope, notes));
    let label = label(name, &made, &scope, common);
    Some(Run {
        condition,
        command,
        folder: folder.or_else(|| common.folder.clone()),
        label,
        allow_failure,
        secrets: all_secrets(&common.secrets, own.secret, &made.secrets),
        env: own.plain,
        outputs: Vec::new(),
        timeout: shorter(timeout, common.timeout.clone()),
    })
}

/// Python source of a folder; `None` where it is that of the tree. A value of a matrix may be empty too.
pub(super) fn folder(node: &Node, scope: &Scope, notes: &Notes) -> Option<String> {
    let made = text(node.text().unwrap_or_default(), node.line, scope, Place::Value, notes);
    match made.known() {
        Some(known) if known.is_empty() => None,
        Some(_) => Some(made.python()),
        None => Some(format!("{} or None", made.python())),
    }
}

fn label(name: Option<&(usize, String)>, script: &Text, scope: &Scope, common: &Common<'_>) -> String {
    let mut pieces = common.title.clone();
    pieces.push(Piece::Text(": ".to_owned()));
    match name {
        Some((line, name)) => pieces.extend(text(name, *line, scope, Place::Value, common.notes).pieces),
        None => pieces.extend(first_line(&script.pieces)),
    }
    python::text(&python::joined(pieces))
}

/// Characters of a command that stand for its name.
const NAME_LENGTH: usize = 60;

/// The beginning of a script that has no name.
fn first_line(script: &[Piece]) -> Vec<Piece> {
    let mut line = Vec::new();
    let mut left = NAME_LENGTH;
    for piece in script {
        let Piece::Text(text) = piece else {
            line.push(piece.clone());
            continue;
        };
        let begin = if line.is_empty() {
            text.trim_start()
        } else {
            text.as_str()
        };
        let (kept, ends) = begin.split_once('\n').map_or((begin, false), |(kept, _)| (kept, true));
        let kept: String = kept.chars().take(left).collect();
        left = left.saturating_sub(kept.chars().count());
        line.push(Piece::Text(kept));
        if ends || left == 0 {
            break;
        }
    }
    python::trimmed(&line)
}

/// What runs a script.
struct Shell {
    /// The command before `-c`.
    command: String,
    is_posix: bool,
    /// Whether its options could make a difference to any command at all.
    is_special: bool,
}

impl Shell {
    /// The shell that a step asks for; the job's where it asks for none.
    fn of(asked: &str, line: usize, common: &Common<'_>) -> Option<Self> {
        let (command, is_posix, is_special) = match asked {
            "" => (common.plain_shell, true, false),
            "bash" => ("bash -eo pipefail", true, false),
            "sh" => ("sh -e", true, false),
            "python" => ("python3", false, true),
            other => {
                let own = other.strip_suffix("{0}").map(str::trim_end);
                let known = own.filter(|own| matches!(own.split_whitespace().next(), Some("bash" | "sh")));
                let Some(own) = known else {
                    common
                        .notes
                        .add(line, format!("not mapped: the shell `{other}`; the step is left out"));
                    return None;
                };
                (own, true, true)
            }
        };
        Some(Self {
            command: command.to_owned(),
            is_posix,
            is_special,
        })
    }
}

/// The command as Python source.
fn command(made: &Text, shell: &Shell, common: &Common<'_>) -> String {
    let pieces = python::trimmed(&made.pieces);
    if !shell.is_special && plain::is_plain(&pieces, shell.command == "sh -e") {
        return python::text(&pieces);
    }
    let has_values = pieces
        .iter()
        .any(|piece| matches!(piece, Piece::Text(text) if text.contains("${{ ")));
    let (helper, function) = if has_values {
        (Helper::Filled, "filled")
    } else {
        (Helper::Script, "script")
    };
    common.helpers.using(helper);
    let lines = python::script(&pieces, SCRIPT_INDENT);
    if shell.command == "bash -e" {
        format!("{function}({lines})")
    } else {
        format!("{function}({lines}, {})", python::quoted(&shell.command, '"'))
    }
}

/// Where the lines of a script begin: inside of a call that is inside of `step.sh(`.
const SCRIPT_INDENT: usize = 12;

const FILES: [&str; 4] = ["GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"];

/// Scripts that talk to the runner.
fn note_files(script: &str, line: usize, notes: &Notes) {
    for (number, text) in script.lines().enumerate() {
        for file in FILES {
            if text.contains(&format!("${file}")) || text.contains(&format!("${{{file}}}")) {
                notes.add(
                    line + number,
                    format!("not mapped: the script writes to `${file}`, which is not set"),
                );
            }
        }
        for name in runner_variables(text) {
            notes.add(
                line + number,
                format!("`{name}` is empty unless it is given: hm run -e {name}=..."),
            );
        }
        if text.contains("::set-output") || text.contains("::add-path") || text.contains("::set-env") {
            notes.add(line + number, "not mapped: the script gives the runner a command");
        }
    }
}

/// The variables of a hosted runner in a line, each once.
fn runner_variables(line: &str) -> BTreeSet<&str> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let uses = line.split('$').skip(1).map(|after| {
        let name = after.strip_prefix('{').unwrap_or(after);
        name.split(|c| !of_name(c)).next().unwrap_or_default()
    });
    uses.filter(|name| {
        let of_runner = *name == "CI" || name.starts_with("GITHUB_") || name.starts_with("RUNNER_");
        of_runner && !FILES.contains(name)
    })
    .collect()
}

/// Whether a failure is allowed, as Python source; `None` where it is not.
pub(super) fn allowed(node: &Node, scope: &Scope, notes: &Notes) -> Option<String> {
    match truth_of_text(node.text().unwrap_or_default(), scope) {
        Truth::Known(true) => Some("True".to_owned()),
        Truth::Known(false) => None,
        Truth::Python(source) => Some(source),
        Truth::Unknown => {
            notes.add(node.line, "not mapped: `continue-on-error`; a failure counts");
            None
        }
    }
}

/// Minutes whose seconds the pipeline can still count.
const LONGEST: f64 = (u32::MAX / 60) as f64;

/// Python source of whole minutes; where the matrix says them, a lookup.
pub(super) fn minutes(node: &Node, scope: &Scope, notes: &Notes) -> Option<String> {
    let source = node.text().unwrap_or_default().trim();
    let table = Table::of_text(source, scope, |value| Some(value.number()))
        .filter(|table| table.results().all(|minutes| *minutes > 0.0));
    let Some(table) = table else {
        let what = format!("not mapped: `timeout-minutes: {source}` gives no known minutes, so there is no such limit");
        notes.add(node.line, what);
        return None;
    };
    if table.results().any(|minutes| *minutes > LONGEST) {
        notes.add(node.line, "not mapped: `timeout-minutes` is longer than any run");
        return None;
    }
    if table.results().any(|minutes| minutes.fract() != 0.0) {
        let what = format!("`timeout-minutes: {source}` is rounded up to whole minutes");
        notes.add(node.line, what);
    }
    Some(table.lookup(|minutes| minutes.ceil().to_string()))
}

/// The shorter of two times in minutes.
fn shorter(one: Option<String>, other: Option<String>) -> Option<String> {
    let (Some(one), Some(other)) = (&one, &other) else {
        return one.or(other);
    };
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => Some(one.min(other).to_string()),
        _ => Some(format!("min({one}, {other})")),
    }
}

fn all_secrets(common: &[(String, String)], own: Vec<(String, String)>, named: &Secrets) -> Vec<(String, String)> {
    let mut all = common.to_vec();
    let named = named.iter().map(|name| (name.clone(), name.clone()));
    for secret in own.into_iter().chain(named) {
        if !all.contains(&secret) {
            all.push(secret);
        }
    }
    all
}
