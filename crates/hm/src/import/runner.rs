//! Which image stands for `runs-on`.

use super::expression::{Place, Scope, text};
use super::notes::Notes;
use super::yaml::{Node, Value};

/// What a job runs on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RunsOn {
    /// This image of a runner.
    Image(&'static str),
    /// The label that this Python expression gives.
    Label(String),
    /// Not Linux.
    Foreign(String),
}

/// The image of a runner that is not named.
pub(super) const DEFAULT: &str = "ubuntu:24.04";

/// The image for the label of a hosted runner on Linux.
fn image(label: &str) -> Option<&'static str> {
    match label.trim_end_matches("-arm") {
        "ubuntu-latest" | "ubuntu-24.04" | "ubuntu-slim" | "ubuntu" | "linux" => Some(DEFAULT),
        "ubuntu-22.04" => Some("ubuntu:22.04"),
        "ubuntu-20.04" => Some("ubuntu:20.04"),
        _ => None,
    }
}

/// Whether a label means another system than Linux.
pub(super) fn is_foreign(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    label.starts_with("windows") || label.starts_with("macos") || label.starts_with("freebsd")
}

pub(super) fn runs_on(node: Option<&Node>, scope: &Scope, notes: &Notes) -> RunsOn {
    let Some(node) = node else {
        return RunsOn::Image(DEFAULT);
    };
    let labels = match &node.value {
        Value::Map(_) => node.get("labels").and_then(Node::texts),
        Value::Scalar { .. } | Value::List(_) => node.texts(),
    };
    let Some(labels) = labels else {
        notes.add(node.line, format!("not mapped: `runs-on`; {DEFAULT} stands for it"));
        return RunsOn::Image(DEFAULT);
    };
    if let [(line, label)] = labels.as_slice() {
        let made = text(label, *line, scope, Place::Value, notes);
        match made.known() {
            Some(known) => return of_label(&known, *line, notes),
            None => return RunsOn::Label(made.python()),
        }
    }
    if let Some((_, foreign)) = labels.iter().find(|(_, label)| is_foreign(label)) {
        return RunsOn::Foreign((*foreign).to_owned());
    }
    let found = labels.iter().find_map(|(_, label)| image(label));
    if let Some((line, label)) = labels.iter().find(|(_, label)| image(label).is_none()) {
        notes.add(
            *line,
            format!(
                "not mapped: the runner `{label}`; {} stands for it",
                found.unwrap_or(DEFAULT)
            ),
        );
    }
    RunsOn::Image(found.unwrap_or(DEFAULT))
}

fn of_label(label: &str, line: usize, notes: &Notes) -> RunsOn {
    if is_foreign(label) {
        return RunsOn::Foreign(label.to_owned());
    }
    image(label).map_or_else(
        || {
            notes.add(
                line,
                format!("not mapped: the runner `{label}`; {DEFAULT} stands for it"),
            );
            RunsOn::Image(DEFAULT)
        },
        RunsOn::Image,
    )
}
