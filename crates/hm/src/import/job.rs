//! A job as a function in Python.

use super::calls;
use super::calls::Call;
use super::container::{Variables, container, services, variables};
use super::expression::{Place, Scope, Status, Truth, condition, text};
use super::fields::Fields;
use super::helpers::{Helper, Helpers};
use super::matrix::{Matrix, matrix};
use super::notes::{Note, Notes};
use super::python::{self, Piece};
use super::runner::{self, RunsOn, runs_on};
use super::step::{self, Common, Item, Run};
use super::yaml::{Node, Value};
use crate::append::{append, append_line};

/// What the workflow says for all of its jobs.
#[derive(Clone, Default, Debug)]
pub(super) struct Shared {
    pub(super) scope: Scope,
    /// Secret and variable.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) shell: Option<String>,
    pub(super) folder: Option<String>,
}

/// A job in Python.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) needs: Vec<(usize, String)>,
    /// Whether it runs whatever happened before it.
    pub(super) always: bool,
    /// The function, with its notes before it.
    pub(super) source: String,
    /// Items of the pipeline's list.
    pub(super) leaf: String,
    pub(super) steps: usize,
}

/// Where the function's lines begin.
const INDENT: usize = 4;

/// The job as a function called `function`; `None` where nothing of it can be taken over.
pub(super) fn job(
    id: &str,
    function: &str,
    node: &Node,
    shared: &Shared,
    notes: &Notes,
    helpers: &Helpers,
) -> Option<Job> {
    let mark = notes.mark();
    let fields = Fields::of(node, "a job", notes);
    if let Some((line, uses)) = fields.take_with_line("uses") {
        let workflow = uses.text().unwrap_or_default();
        notes.add(
            line,
            format!("not mapped: the job `{id}` uses the workflow `{workflow}`, so it is left out"),
        );
        return None;
    }
    let needs = fields.take("needs").and_then(Node::texts).unwrap_or_default();
    let mut scope = shared.scope.clone();
    let mut combinations = strategy(fields.take("strategy"), notes);
    scope.matrix = combinations.as_ref().map(Matrix::combinations).unwrap_or_default();
    let always = runs_always(id, fields.take("if"), &scope, notes)?;
    let machine = machine(id, &fields, &scope, combinations.as_mut(), notes, helpers)?;
    // Those that can't run here are out of it.
    scope.matrix = combinations.as_ref().map(Matrix::combinations).unwrap_or_default();
    let own = fields
        .take("env")
        .map_or_else(Variables::default, |env| variables(env, &scope, notes));
    let env = [machine.env.plain, own.plain].concat();
    let scope = scope.with_variables(&env);
    let services = fields
        .take("services")
        .map_or_else(Vec::new, |node| services(node, &scope, notes));
    let defaults = Defaults::of(fields.take("defaults"), &scope, notes);
    let title = title(id, fields.take("name"), &scope, combinations.as_ref(), notes);
    let common = Common {
        notes,
        helpers,
        title: if combinations.is_some() {
            vec![Piece::Python("name".to_owned())]
        } else {
            title.clone()
        },
        shell: defaults.shell.or_else(|| shared.shell.clone()),
        folder: defaults.folder.or_else(|| shared.folder.clone()),
        plain_shell: machine.shell,
        timeout: fields
            .take("timeout-minutes")
            .and_then(|node| step::minutes(node, &scope, notes)),
        allow_failure: fields.take("continue-on-error").and_then(|node| {
            let allowed = step::allowed(node, &scope, notes);
            if allowed.is_some() {
                notes.add(node.line, "the steps of the job go on after a failure");
            }
            allowed
        }),
        secrets: [shared.secrets.clone(), machine.env.secret, own.secret].concat(),
        has_services: !services.is_empty(),
        scope,
    };
    let steps = fields.take("steps").map(|steps| &steps.value);
    fields.note_rest("a job", notes);
    let mut about = notes.since(mark);
    about.sort();
    let Some(Value::List(steps)) = steps else {
        notes.add(
            node.line,
            format!("not mapped: the job `{id}` has no steps, so it is left out"),
        );
        return None;
    };
    let items = step::items(steps, &common);
    let count = items
        .iter()
        .filter(|item| matches!(item, Item::Run(_) | Item::Setup { .. }))
        .count();
    if count == 0 {
        notes.add(
            node.line,
            format!("not mapped: nothing of the job `{id}` is left, so it is left out"),
        );
        return None;
    }
    let mut source = comments(0, &about);
    let parameter = if combinations.is_some() { "m" } else { "" };
    append_line(&mut source, format_args!("def {function}({parameter}):"));
    if combinations.is_some() {
        append_line(&mut source, format_args!("    name = {}", name_of(&title, id)));
    }
    let body = Body {
        common: &common,
        has_env: !env.is_empty() || items.iter().any(|item| matches!(item, Item::Setup { .. })),
    };
    body.write(&machine.source, &env, &services, &items, &mut source);
    helpers.look_at(&source);
    Some(Job {
        id: id.to_owned(),
        needs: needs.into_iter().map(|(line, name)| (line, name.to_owned())).collect(),
        always,
        source,
        leaf: leaf(function, combinations.as_ref()),
        steps: count,
    })
}

/// Comment lines with what was not taken over.
pub(super) fn comments(indent: usize, notes: &[Note]) -> String {
    let mut text = String::new();
    for note in notes {
        let line = python::comment(&format!("line {}: {}", note.line, note.text));
        append_line(&mut text, format_args!("{:indent$}{line}", ""));
    }
    text
}

fn strategy(node: Option<&Node>, notes: &Notes) -> Option<Matrix> {
    let fields = Fields::of(node?, "`strategy`", notes);
    // Other combinations go on anyway with `hm run --keep-going`.
    fields.drop_silently(&["fail-fast"]);
    let made = fields.take("matrix").and_then(|node| matrix(node, notes));
    fields.note_rest("`strategy`", notes);
    made
}

/// Whether it runs whatever happened; the outer `None` where it never runs.
fn runs_always(id: &str, node: Option<&Node>, scope: &Scope, notes: &Notes) -> Option<bool> {
    let Some(node) = node else { return Some(false) };
    let source = node.text().unwrap_or_default().trim();
    let condition = condition(source, scope);
    if condition.truth == Truth::Known(false) {
        notes.add(
            node.line,
            format!("left out: `if: {source}` of the job `{id}` is never true here"),
        );
        return None;
    }
    if condition.truth != Truth::Known(true) {
        notes.add(node.line, format!("not mapped: `if: {source}`; the job always runs"));
    }
    match condition.status {
        Status::Success => Some(false),
        Status::Always => Some(true),
        Status::Failure => {
            notes.add(
                node.line,
                format!("not mapped: the job `{id}` runs only after a failure, so it is left out"),
            );
            None
        }
    }
}

/// What a job's first step boots from.
struct Machine {
    source: String,
    env: Variables,
    shell: &'static str,
}

fn machine(
    id: &str,
    fields: &Fields<'_>,
    scope: &Scope,
    combinations: Option<&mut Matrix>,
    notes: &Notes,
    helpers: &Helpers,
) -> Option<Machine> {
    let line = fields.look("runs-on").map_or(1, |node| node.line);
    let runs_on = runs_on(fields.take("runs-on"), scope, notes);
    if let RunsOn::Foreign(label) = &runs_on {
        notes.add(
            line,
            format!("not mapped: the job `{id}` runs on `{label}`, so it is left out"),
        );
        return None;
    }
    if let (RunsOn::Label(source), Some(combinations)) = (&runs_on, combinations) {
        for key in combinations
            .keys()
            .iter()
            .filter(|key| source.contains(&format!("m[{}]", python::quoted(key, '\''))))
        {
            for label in combinations.remove(key, runner::is_foreign) {
                notes.add(
                    line,
                    format!("not mapped: the combinations that run on `{label}` are left out"),
                );
            }
        }
        if combinations.combinations().is_empty() {
            notes.add(
                line,
                format!("not mapped: no combination of the job `{id}` is left, so it is left out"),
            );
            return None;
        }
    }
    if let Some(made) = fields.take("container").and_then(|node| container(node, scope, notes)) {
        return Some(Machine {
            source: format!("hm.Step(image={})", made.image),
            env: made.env,
            shell: "sh -e",
        });
    }
    helpers.using(Helper::Runner);
    let source = match runs_on {
        RunsOn::Image(image) => format!("runner({})", python::quoted(image, '"')),
        // Left out above.
        RunsOn::Foreign(_) => return None,
        RunsOn::Label(source) => {
            helpers.using(Helper::Images);
            format!("runner(images.get({source}, {}))", python::quoted(runner::DEFAULT, '"'))
        }
    };
    Some(Machine {
        source,
        env: Variables::default(),
        shell: "bash -e",
    })
}

/// `defaults.run`.
#[derive(Default)]
pub(super) struct Defaults {
    pub(super) shell: Option<String>,
    pub(super) folder: Option<String>,
}

impl Defaults {
    pub(super) fn of(node: Option<&Node>, scope: &Scope, notes: &Notes) -> Self {
        let Some(node) = node else { return Self::default() };
        let fields = Fields::of(node, "`defaults`", notes);
        let run = fields.take("run");
        fields.note_rest("`defaults`", notes);
        let Some(run) = run else { return Self::default() };
        let fields = Fields::of(run, "`defaults.run`", notes);
        let made = Self {
            shell: fields.take("shell").and_then(Node::text).map(str::to_owned),
            folder: fields
                .take("working-directory")
                .and_then(|node| step::folder(node, scope, notes)),
        };
        fields.note_rest("`defaults.run`", notes);
        made
    }
}

/// What labels begin with: the job's name, and what tells its combinations apart.
fn title(id: &str, name: Option<&Node>, scope: &Scope, combinations: Option<&Matrix>, notes: &Notes) -> Vec<Piece> {
    let mut pieces = match name {
        Some(node) => text(node.text().unwrap_or_default(), node.line, scope, Place::Value, notes).pieces,
        None => vec![Piece::Text(id.to_owned())],
    };
    let says_it = pieces.iter().any(|piece| matches!(piece, Piece::Python(_)));
    if let Some(combinations) = combinations.filter(|_| !says_it) {
        let mut before = " (";
        for key in combinations.telling_keys() {
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Python(format!("m[{}]", python::quoted(&key, '\''))));
            before = ", ";
        }
        pieces.push(Piece::Text(")".to_owned()));
    }
    python::joined(pieces)
}

/// The title as Python source; where it is one value, a combination may lack it.
fn name_of(title: &[Piece], id: &str) -> String {
    match title {
        [Piece::Python(value)] => format!("{value} or {}", python::quoted(id, '"')),
        _ => python::text(title),
    }
}

fn leaf(function: &str, combinations: Option<&Matrix>) -> String {
    let Some(combinations) = combinations else {
        return format!("{function}()");
    };
    match combinations.source() {
        Ok(source) => format!("*[{function}(m) for m in {source}]"),
        Err(entries) => {
            let list = calls::list(8, "for m in ", &entries);
            format!(
                "*[\n            {function}(m)\n    {}        ]",
                list.replace('\n', "\n    ").trim_end_matches(' ')
            )
        }
    }
}

/// The lines of a function.
struct Body<'a> {
    common: &'a Common<'a>,
    has_env: bool,
}

impl Body<'_> {
    fn write(&self, machine: &str, env: &[(String, String)], services: &[String], items: &[Item], source: &mut String) {
        if self.has_env {
            let entries: Vec<String> = env
                .iter()
                .map(|(name, value)| format!("{}: {value}", python::quoted(name, '"')))
                .collect();
            source.push_str(&calls::dict(INDENT, "env = ", &entries));
        }
        if !services.is_empty() {
            source.push_str(&calls::list(INDENT, "services = ", services));
        }
        append_line(source, format_args!("    step = {machine}"));
        let mut mounts: Vec<String> = Vec::new();
        for item in items {
            match item {
                Item::Notes(notes) => source.push_str(&comments(INDENT, notes)),
                Item::Mounts(more) => {
                    let entry = |(name, path): &(String, String)| {
                        format!(
                            "hm.cache_dir({}, {})",
                            python::quoted(name, '"'),
                            python::quoted(path, '"')
                        )
                    };
                    mounts.extend(more.iter().map(entry));
                    source.push_str(&calls::list(INDENT, "mounts = ", &mounts));
                }
                Item::Setup { condition, call } => {
                    let indent = Self::under(condition.as_ref(), source);
                    source.push_str(&call.source(indent, "step, env = ", ""));
                }
                Item::Run(run) => {
                    let indent = Self::under(run.condition.as_ref(), source);
                    source.push_str(&self.run(run, !mounts.is_empty(), indent));
                }
            }
        }
        source.push_str("    return step\n");
    }

    fn under(condition: Option<&String>, source: &mut String) -> usize {
        let Some(condition) = condition else { return INDENT };
        append(source, format_args!("    if {condition}:\n"));
        2 * INDENT
    }

    fn run(&self, run: &Run, has_mounts: bool, indent: usize) -> String {
        let mut call = Call::new("step.sh");
        call.argument(run.command.as_str());
        if let Some(folder) = &run.folder {
            call.keyword("cwd", folder);
        }
        call.keyword("label", &run.label);
        match (self.has_env, run.env.as_slice()) {
            (true, []) => call.keyword("env", "env"),
            (false, []) => {}
            (true, own) => call.keyword("env", &python::dict(own).replacen('{', "{**env, ", 1)),
            (false, own) => call.keyword("env", &python::dict(own)),
        }
        if let Some(allowed) = &run.allow_failure {
            call.keyword("allow_failure", allowed);
        }
        if !run.secrets.is_empty() {
            let secrets: Vec<String> = run
                .secrets
                .iter()
                .map(|(name, variable)| secret(name, variable))
                .collect();
            call.keyword("secrets", &python::list(&secrets));
        }
        if self.common.has_services {
            call.keyword("services", "services");
        }
        if has_mounts {
            call.keyword("mounts", "mounts");
        }
        if !run.outputs.is_empty() {
            call.keyword("outputs", &python::list(&run.outputs));
        }
        let Some(minutes) = &run.timeout else {
            return call.source(indent, "step = ", "");
        };
        let time = match minutes.parse::<u64>() {
            Ok(minutes) => format!("\"{minutes}m\""),
            Err(_) => format!("str({minutes}) + \"m\""),
        };
        call.source(indent, &format!("step = hm.timeout({time}, "), ")")
    }
}

fn secret(name: &str, variable: &str) -> String {
    let name_source = python::quoted(name, '"');
    if name == variable {
        return name_source;
    }
    format!("hm.secret({name_source}, env={})", python::quoted(variable, '"'))
}
