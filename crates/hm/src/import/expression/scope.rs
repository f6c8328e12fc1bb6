//! What names mean at a place of a workflow.

use std::collections::BTreeMap;

use super::parse::Expression;
use crate::import::python;

/// The names that are known when the pipeline is made, or in the generated Python.
#[derive(Clone, Default, Debug)]
pub(in crate::import) struct Scope {
    /// Keys of the matrix; each is an entry of the variable `m`.
    pub(in crate::import) matrix: Vec<String>,
    /// Variables whose value is written in the workflow.
    pub(in crate::import) env: BTreeMap<String, String>,
    /// Defaults of inputs of a manual start.
    pub(in crate::import) inputs: BTreeMap<String, String>,
}

/// What an expression comes to.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Meaning {
    /// This text.
    Known(String),
    /// A Python expression that gives a str.
    Python(String),
    /// A variable of the machine that the user may give.
    Variable(String),
    Secret(String),
    Unknown,
}

/// Members of `github` that are variables on a runner under `GITHUB_` and the name in capitals.
const VARIABLES: [&str; 13] = [
    "sha",
    "ref",
    "ref_name",
    "ref_type",
    "repository",
    "repository_owner",
    "actor",
    "event_name",
    "run_id",
    "run_number",
    "run_attempt",
    "head_ref",
    "base_ref",
];

/// Whether a shell can have a variable of that name.
pub(in crate::import) fn is_variable(name: &str) -> bool {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(of_name) && !name.starts_with(|first: char| first.is_ascii_digit())
}

impl Scope {
    /// The same with these variables, whose values are Python source; those of literals are known.
    pub(in crate::import) fn with_variables(&self, variables: &[(String, String)]) -> Self {
        let mut scope = self.clone();
        for (name, source) in variables {
            match python::literal(source) {
                Some(value) => scope.env.insert(name.clone(), value),
                None => scope.env.remove(name),
            };
        }
        scope
    }

    /// What an expression comes to as a text.
    pub(super) fn meaning(&self, expression: &Expression) -> Meaning {
        match expression {
            Expression::Literal(text) => Meaning::Known(text.clone()),
            Expression::Path(path) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                self.path(&names)
            }
            Expression::Or(left, right) => match self.meaning(left) {
                // `inputs.x || 'default'`
                Meaning::Known(text) if text.is_empty() => self.meaning(right),
                known @ Meaning::Known(_) => known,
                Meaning::Python(_) | Meaning::Variable(_) | Meaning::Secret(_) | Meaning::Unknown => Meaning::Unknown,
            },
            Expression::Call(..) | Expression::Not(_) | Expression::Equal(..) | Expression::And(..) => Meaning::Unknown,
        }
    }

    fn path(&self, path: &[&str]) -> Meaning {
        match path {
            ["matrix", names @ ..] => {
                let name = names.join(".");
                if self.matrix.contains(&name) {
                    Meaning::Python(format!("m[{}]", python::quoted(&name, '\'')))
                } else {
                    Meaning::Unknown
                }
            }
            ["env", name] => match self.env.get(*name) {
                Some(value) => Meaning::Known(value.clone()),
                None if is_variable(name) => Meaning::Variable((*name).to_owned()),
                None => Meaning::Unknown,
            },
            ["inputs", name] | ["github", "event", "inputs", name] => {
                self.inputs.get(*name).cloned().map_or(Meaning::Unknown, Meaning::Known)
            }
            ["secrets", "GITHUB_TOKEN"] | ["github", "token"] => Meaning::Secret("GITHUB_TOKEN".to_owned()),
            ["secrets", name] if is_variable(name) => Meaning::Secret((*name).to_owned()),
            ["github", "workspace"] => Meaning::Known("/workspace".to_owned()),
            ["github", name] if VARIABLES.contains(name) => {
                Meaning::Variable(format!("GITHUB_{}", name.to_ascii_uppercase()))
            }
            ["runner", "os"] => Meaning::Known("Linux".to_owned()),
            ["runner", "temp"] => Meaning::Known("/tmp".to_owned()),
            ["runner", "arch"] => Meaning::Known("X64".to_owned()),
            _ => Meaning::Unknown,
        }
    }
}
