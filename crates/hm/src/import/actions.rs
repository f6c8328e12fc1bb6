//! What `uses:` of a step means.

use super::expression::{Place, Scope, text};
use super::fields::Fields;
use super::helpers::Helpers;
use super::notes::Notes;
use super::python;
use super::setup::{self, Asked, Setup};
use super::yaml::Node;

/// What an action comes to.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing has to be done.
    Nothing,
    Setup(Setup),
    /// Cache mounts for the steps after it: name and path.
    Caches(Vec<(String, String)>),
    /// Files to keep of the step before it, as Python source.
    Outputs(Vec<String>),
    Unknown,
}

/// Where an action is used.
pub(super) struct Used<'a> {
    pub(super) line: usize,
    pub(super) uses: &'a str,
    pub(super) with: Option<&'a Node>,
    pub(super) scope: &'a Scope,
    pub(super) notes: &'a Notes,
    pub(super) helpers: &'a Helpers,
}

pub(super) fn action(used: &Used<'_>) -> Action {
    let (name, reference) = used.uses.split_once('@').unwrap_or((used.uses, ""));
    let nothing = Node::nothing(used.line);
    let what = format!("`{name}`");
    let inputs = Fields::of(used.with.unwrap_or(&nothing), &what, used.notes);
    let asked = Asked {
        line: used.line,
        reference,
        inputs: &inputs,
        scope: used.scope,
        notes: used.notes,
        helpers: used.helpers,
    };
    let made = match name {
        // The tree is there, with its history where `workspace.include` says so.
        "actions/checkout" => {
            inputs.drop_silently(&[
                "persist-credentials",
                "fetch-depth",
                "clean",
                "show-progress",
                "set-safe-directory",
            ]);
            Action::Nothing
        }
        "actions/setup-node" => Action::Setup(setup::node(&asked)),
        "actions/setup-python" => Action::Setup(setup::python(&asked)),
        "actions/setup-go" => Action::Setup(setup::go(&asked)),
        "dtolnay/rust-toolchain" => Action::Setup(setup::rust(&asked)),
        "actions/cache" | "actions/cache/restore" | "actions/cache/save" => {
            // A mount is shared by all builds, so no key tells one content from another.
            if let Some((line, _)) = inputs.take_with_line("key") {
                used.notes
                    .add(line, "not mapped: `key`; all builds share what is cached");
            }
            inputs.drop_silently(&[
                "restore-keys",
                "enableCrossOsArchive",
                "fail-on-cache-miss",
                "lookup-only",
            ]);
            Action::Caches(caches(&inputs, used))
        }
        "actions/upload-artifact" => {
            inputs.drop_silently(&[
                "name",
                "if-no-files-found",
                "overwrite",
                "compression-level",
                "include-hidden-files",
            ]);
            Action::Outputs(outputs(&inputs, used))
        }
        _ => {
            used.notes.add(used.line, format!("not mapped: `uses: {}`", used.uses));
            return Action::Unknown;
        }
    };
    inputs.note_rest(&what, used.notes);
    made
}

/// The lines of `path`, with their lines in the workflow.
fn paths<'a>(inputs: &Fields<'a>, used: &Used<'_>) -> Vec<(usize, &'a str)> {
    let Some(node) = inputs.take("path") else {
        used.notes
            .add(used.line, format!("not mapped: `{}` without a path", used.uses));
        return Vec::new();
    };
    let lines = node.text().unwrap_or_default().lines().enumerate();
    let trimmed = lines.map(|(number, line)| (node.line + number, line.trim()));
    trimmed.filter(|(_, line)| !line.is_empty()).collect()
}

fn caches(inputs: &Fields<'_>, used: &Used<'_>) -> Vec<(String, String)> {
    let mut caches = Vec::new();
    for (line, path) in paths(inputs, used) {
        let made = text(path, line, used.scope, Place::Value, used.notes).known();
        let Some(known) = made.filter(|known| !known.starts_with('!') && !known.contains('*')) else {
            used.notes.add(line, format!("not mapped: the cached path `{path}`"));
            continue;
        };
        let absolute = match known.strip_prefix("~/").or_else(|| known.strip_prefix("$HOME/")) {
            Some(below) => format!("/root/{below}"),
            None if known.starts_with('/') => known,
            None => format!("/workspace/{}", known.trim_start_matches("./")),
        };
        let absolute = absolute.trim_end_matches('/').to_owned();
        caches.push((name_of(&absolute), absolute));
    }
    caches
}

/// A name for the mount at a path.
fn name_of(path: &str) -> String {
    let below = path
        .strip_prefix("/root/")
        .or_else(|| path.strip_prefix("/workspace/"))
        .unwrap_or(path);
    let word = |c: char| c.is_ascii_alphanumeric();
    let words: Vec<&str> = below.split(|c| !word(c)).filter(|word| !word.is_empty()).collect();
    words.join("-").to_ascii_lowercase()
}

fn outputs(inputs: &Fields<'_>, used: &Used<'_>) -> Vec<String> {
    let mut outputs = Vec::new();
    for (line, path) in paths(inputs, used) {
        let made = text(path, line, used.scope, Place::Value, used.notes);
        let below = made
            .known()
            .map(|known| known.strip_prefix("/workspace/").unwrap_or(&known).to_owned());
        match below {
            None => outputs.push(made.python()),
            Some(path) if path.starts_with(['/', '~', '!', '$']) => {
                used.notes.add(
                    line,
                    format!("not mapped: the artifact `{path}` lies outside of the workspace or excludes"),
                );
            }
            Some(path) => outputs.push(python::quoted(path.trim_start_matches("./"), '"')),
        }
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_have_names() {
        assert_eq!(name_of("/root/.cache/pip"), "cache-pip");
        assert_eq!(name_of("/workspace/target"), "target");
        assert_eq!(name_of("/var/lib/x"), "var-lib-x");
    }
}
