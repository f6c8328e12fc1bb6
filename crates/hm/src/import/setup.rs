//! Actions that install a language.

use super::calls::Call;
use super::expression::{Place, Scope, text};
use super::fields::Fields;
use super::helpers::{Helper, Helpers};
use super::notes::Notes;
use super::python;
use super::yaml::Node;

/// What an action asks for, as Python.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) call: Call,
    /// Cache mounts: name and path.
    pub(super) caches: Vec<(String, String)>,
}

/// A place in a workflow: its inputs and what names mean there.
pub(super) struct Asked<'a> {
    pub(super) line: usize,
    /// What follows the `@`.
    pub(super) reference: &'a str,
    pub(super) inputs: &'a Fields<'a>,
    pub(super) scope: &'a Scope,
    pub(super) notes: &'a Notes,
    pub(super) helpers: &'a Helpers,
}

impl Asked<'_> {
    fn value(&self, name: &'static str) -> Option<String> {
        let node = self.inputs.take(name)?;
        self.python(node, node.text()?)
    }

    fn python(&self, node: &Node, source: &str) -> Option<String> {
        self.notes.add_number(node);
        (!source.is_empty()).then(|| text(source, node.line, self.scope, Place::Value, self.notes).python())
    }

    /// Of several versions, a line each, the last is what a command finds.
    fn last_line<'b>(&self, name: &str, node: &'b Node) -> Option<&'b str> {
        let mut lines = node.text()?.lines().map(str::trim).filter(|line| !line.is_empty());
        let last = lines.next_back().unwrap_or_default();
        for other in lines {
            let what = format!("not mapped: `{other}` of `{name}`; only the last, `{last}`, is installed");
            self.notes.add(node.line, what);
        }
        Some(last)
    }

    fn version(&self, name: &'static str, file: &'static str, newest: &str) -> String {
        let asked = self.inputs.take(name);
        let version = asked.and_then(|node| self.python(node, self.last_line(name, node)?));
        if let (Some((line, _)), None) = (self.inputs.take_with_line(file), &version) {
            self.notes
                .add(line, format!("not mapped: `{file}`; the version is {newest}"));
        }
        version.unwrap_or_else(|| {
            if self.inputs.look(file).is_none() {
                self.notes
                    .add(self.line, format!("no version is asked for; it is {newest}"));
            }
            python::quoted(newest, '"')
        })
    }

    fn call(&self, helper: Helper, function: &str) -> Call {
        self.helpers.using(helper);
        let mut call = Call::new(function);
        call.argument("step");
        call.argument("env");
        call
    }

    fn caches(&self, known: &[(&str, &str)]) -> Vec<(String, String)> {
        let Some(node) = self.inputs.take("cache") else {
            return Vec::new();
        };
        match node.text().unwrap_or_default() {
            "" | "false" | "true" => Vec::new(),
            asked => {
                let path = known.iter().find(|(name, _)| *name == asked);
                if path.is_none() {
                    self.notes.add(node.line, format!("not mapped: `cache: {asked}`"));
                }
                path.map(|(name, path)| ((*name).to_owned(), (*path).to_owned()))
                    .into_iter()
                    .collect()
            }
        }
    }
}

/// Nodes that have a name.
const NAMED_NODES: [(&str, &str); 7] = [
    ("lts/*", "22"),
    ("lts", "22"),
    ("node", "22"),
    ("latest", "22"),
    ("lts/jod", "22"),
    ("lts/iron", "20"),
    ("lts/hydrogen", "18"),
];

pub(super) fn node(asked: &Asked<'_>) -> Setup {
    let mut version = asked.version("node-version", "node-version-file", "22");
    for (name, number) in NAMED_NODES {
        if version == python::quoted(name, '"') {
            version = python::quoted(number, '"');
        }
    }
    let mut call = asked.call(Helper::SetupNode, "setup_node");
    call.argument(version);
    let caches = [
        ("npm", "/root/.npm"),
        ("pnpm", "/root/.local/share/pnpm/store"),
        ("yarn", "/root/.cache/yarn"),
    ];
    Setup {
        call,
        caches: asked.caches(&caches),
    }
}

pub(super) fn python(asked: &Asked<'_>) -> Setup {
    let version = asked.version("python-version", "python-version-file", "3");
    let mut call = asked.call(Helper::SetupPython, "setup_python");
    call.argument(version);
    Setup {
        call,
        caches: asked.caches(&[("pip", "/root/.cache/pip")]),
    }
}

pub(super) fn go(asked: &Asked<'_>) -> Setup {
    let version = asked.version("go-version", "go-version-file", "stable");
    let mut call = asked.call(Helper::SetupGo, "setup_go");
    call.argument(version);
    let caches = if asked.inputs.take("cache").and_then(Node::text) == Some("true") {
        vec![
            ("go-mod".to_owned(), "/root/go/pkg/mod".to_owned()),
            ("go-build".to_owned(), "/root/.cache/go-build".to_owned()),
        ]
    } else {
        Vec::new()
    };
    Setup { call, caches }
}

/// `dtolnay/rust-toolchain@stable`: the reference is the toolchain unless the input says another.
pub(super) fn rust(asked: &Asked<'_>) -> Setup {
    let by_reference = match asked.reference {
        "master" | "v1" => "stable",
        other => other,
    };
    let toolchain = asked
        .value("toolchain")
        .unwrap_or_else(|| python::quoted(by_reference, '"'));
    let mut call = asked.call(Helper::SetupRust, "setup_rust");
    call.argument(toolchain);
    for name in ["components", "targets"] {
        if let Some(list) = asked.value(name) {
            call.keyword(name, &list.replace(", ", ","));
        }
    }
    if let Some(target) = asked.value("target") {
        call.keyword("targets", &target);
    }
    Setup {
        call,
        caches: Vec::new(),
    }
}
