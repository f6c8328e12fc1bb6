//! What starts a workflow.

use super::expression;
use super::fields::Fields;
use super::notes::Notes;
use super::python;
use super::yaml::{Node, Value};

/// Triggers as Python source.
#[derive(Default, Debug)]
pub(super) struct Triggers {
    pub(super) sources: Vec<String>,
    pub(super) manual: bool,
    /// Inputs of a manual start with their defaults.
    pub(super) inputs: Vec<(String, expression::Value)>,
}

/// Types of `hm.pull_request`.
const TYPES: [&str; 5] = ["opened", "synchronize", "reopened", "closed", "ready_for_review"];

pub(super) fn triggers(node: &Node, notes: &Notes) -> Triggers {
    let mut made = Triggers::default();
    if let Some(names) = node.texts() {
        for (line, name) in names {
            event(name, line, None, &mut made, notes);
        }
        return made;
    }
    match node.pairs() {
        Some(events) => {
            for (name, value) in events {
                event(
                    name,
                    value.line,
                    Some(value).filter(|value| !value.is_empty()),
                    &mut made,
                    notes,
                );
            }
        }
        None => notes.add(node.line, "not mapped: `on`"),
    }
    made
}

fn event(name: &str, line: usize, options: Option<&Node>, made: &mut Triggers, notes: &Notes) {
    match name {
        "push" => push(options, made, notes),
        "pull_request" => pull_request(options, made, notes),
        "schedule" => schedule(options, line, made, notes),
        "workflow_dispatch" => {
            made.manual = true;
            if let Some(inputs) = options.and_then(|options| options.get("inputs")) {
                take_inputs(inputs, made, notes);
            }
        }
        _ => notes.add(line, format!("not mapped: the trigger `{name}`")),
    }
}

fn push(options: Option<&Node>, made: &mut Triggers, notes: &Notes) {
    let Some(options) = options else {
        made.sources.push("hm.push(branch=\"*\")".to_owned());
        made.sources.push("hm.push(tag=\"*\")".to_owned());
        return;
    };
    let fields = Fields::of(options, "`push`", notes);
    let branches = fields.take("branches").and_then(|node| globs(node, notes));
    let tags = fields.take("tags").and_then(|node| globs(node, notes));
    let narrowed = ["branches-ignore", "tags-ignore"]
        .iter()
        .any(|name| fields.look(name).is_some());
    if branches.is_none() && tags.is_none() && !narrowed {
        made.sources.push("hm.push(branch=\"*\")".to_owned());
    }
    if let Some(branches) = branches {
        made.sources.push(format!("hm.push(branch={branches})"));
    }
    if let Some(tags) = tags {
        made.sources.push(format!("hm.push(tag={tags})"));
    }
    fields.note_rest("`push`", notes);
}

fn pull_request(options: Option<&Node>, made: &mut Triggers, notes: &Notes) {
    let Some(options) = options else {
        made.sources.push("hm.pull_request()".to_owned());
        return;
    };
    let fields = Fields::of(options, "`pull_request`", notes);
    let mut arguments = Vec::new();
    if let Some(branches) = fields.take("branches").and_then(|node| globs(node, notes)) {
        arguments.push(format!("branches={branches}"));
    }
    if let Some(node) = fields.take("types") {
        let mut known = Vec::new();
        for (line, name) in node.texts().unwrap_or_default() {
            if TYPES.contains(&name) {
                known.push(python::quoted(name, '"'));
            } else {
                notes.add(line, format!("not mapped: the type `{name}` of a pull request"));
            }
        }
        if !known.is_empty() {
            arguments.push(format!("types={}", python::list(&known)));
        }
    }
    made.sources.push(format!("hm.pull_request({})", arguments.join(", ")));
    fields.note_rest("`pull_request`", notes);
}

fn schedule(options: Option<&Node>, line: usize, made: &mut Triggers, notes: &Notes) {
    let Some(Value::List(entries)) = options.map(|options| &options.value) else {
        notes.add(line, "not mapped: `schedule`");
        return;
    };
    for entry in entries {
        let fields = Fields::of(entry, "`schedule`", notes);
        if let Some(node) = fields.take("cron") {
            match node.text().filter(|cron| cron.split_whitespace().count() == 5) {
                Some(cron) => made.sources.push(format!("hm.schedule({})", python::quoted(cron, '"'))),
                None => notes.add(node.line, "not mapped: `cron` has not five fields"),
            }
        }
        fields.note_rest("`schedule`", notes);
    }
}

fn take_inputs(node: &Node, made: &mut Triggers, notes: &Notes) {
    for (name, input) in node.pairs().unwrap_or_default() {
        let default = input.get("default").and_then(Node::text);
        if default.is_none() {
            notes.add(
                input.line,
                format!("not mapped: the input `{name}`, which has no default; it is empty"),
            );
        }
        let default = default.unwrap_or_default();
        // The other types are texts.
        let typed = matches!(input.get("type").and_then(Node::text), Some("boolean" | "number"));
        made.inputs
            .push((name.to_owned(), expression::Value::of_scalar(default, typed)));
    }
}

/// Globs as Python source; `**` is `*` here, which crosses `/`. Exclusions can't be said.
fn globs(node: &Node, notes: &Notes) -> Option<String> {
    let mut globs = Vec::new();
    for (line, glob) in node.texts()? {
        if glob.starts_with('!') {
            notes.add(line, format!("not mapped: the exclusion `{glob}`"));
        } else {
            globs.push(python::quoted(&glob.replace("**", "*"), '"'));
        }
    }
    match globs.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        _ => Some(python::list(&globs)),
    }
}
