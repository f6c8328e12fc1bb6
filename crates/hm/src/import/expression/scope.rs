//! What names mean at a place of a workflow.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::parse::Expression;
use super::value::Value;
use crate::import::matrix::Combination;
use crate::import::python;

/// The names that are known when the pipeline is made, or in the generated Python.
#[derive(Clone, Default, Debug)]
pub(in crate::import) struct Scope {
    /// The combinations of the matrix, none where there is no matrix. Each key is an entry of the variable `m`.
    pub(in crate::import) matrix: Vec<Combination>,
    /// Variables whose value is written in the workflow.
    pub(in crate::import) env: BTreeMap<String, String>,
    /// Defaults of inputs of a manual start.
    pub(in crate::import) inputs: BTreeMap<String, Value>,
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
            Expression::Literal(value) => Meaning::Known(value.text()),
            Expression::Path(path) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                self.path(&names)
            }
            // `inputs.x || 'default'`
            Expression::Or(left, right) => match self.value(left, &Combination::default()) {
                Some(value) if value.is_true() => Meaning::Known(value.text()),
                Some(_) => self.meaning(right),
                None => Meaning::Unknown,
            },
            Expression::And(left, right) => match self.value(left, &Combination::default()) {
                Some(value) if value.is_true() => self.meaning(right),
                Some(value) => Meaning::Known(value.text()),
                None => Meaning::Unknown,
            },
            Expression::Call(..) | Expression::Not(_) | Expression::Equal(..) | Expression::Other => self
                .value(expression, &Combination::default())
                .map_or(Meaning::Unknown, |value| Meaning::Known(value.text())),
        }
    }

    /// The combinations to look at; one without values where there is no matrix.
    pub(super) fn combinations(&self) -> Cow<'_, [Combination]> {
        if self.matrix.is_empty() {
            Cow::Owned(vec![Combination::default()])
        } else {
            Cow::Borrowed(&self.matrix)
        }
    }

    /// The key of the matrix that a path is.
    pub(super) fn key_of(&self, path: &[String]) -> Option<String> {
        let (matrix, names) = path.split_first()?;
        let key = names.join(".");
        (matrix == "matrix" && self.has_key(&key)).then_some(key)
    }

    fn has_key(&self, key: &str) -> bool {
        self.matrix.first().is_some_and(|first| first.get(key).is_some())
    }

    /// The value of an expression in a combination, where that is known.
    pub(super) fn value(&self, expression: &Expression, combination: &Combination) -> Option<Value> {
        let of = |expression: &Expression| self.value(expression, combination);
        match expression {
            Expression::Literal(value) => Some(value.clone()),
            Expression::Path(path) => self.value_of_path(path, combination),
            Expression::Call(name, arguments) => match arguments.as_slice() {
                [first, second] => called(name, &of(first)?, &of(second)?),
                _ => None,
            },
            Expression::Not(inner) => Some(Value::Bool(!of(inner)?.is_true())),
            Expression::Equal(left, right) => Some(Value::Bool(of(left)?.equals(&of(right)?))),
            Expression::And(left, right) => match of(left)? {
                left if left.is_true() => of(right),
                left => Some(left),
            },
            Expression::Or(left, right) => match of(left)? {
                left if left.is_true() => Some(left),
                _ => of(right),
            },
            Expression::Other => None,
        }
    }

    fn value_of_path(&self, path: &[String], combination: &Combination) -> Option<Value> {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["matrix", names @ ..] => combination.get(&names.join("."))?.value.clone(),
            ["inputs", name] => self.inputs.get(*name).cloned(),
            names => match self.path(names) {
                Meaning::Known(text) => Some(Value::Text(text)),
                Meaning::Python(_) | Meaning::Variable(_) | Meaning::Secret(_) | Meaning::Unknown => None,
            },
        }
    }

    fn path(&self, path: &[&str]) -> Meaning {
        match path {
            ["matrix", names @ ..] => {
                let name = names.join(".");
                if self.has_key(&name) {
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
                let input = self.inputs.get(*name);
                input.map_or(Meaning::Unknown, |value| Meaning::Known(value.text()))
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

/// What a function says of two values.
fn called(name: &str, first: &Value, second: &Value) -> Option<Value> {
    let holds = match name {
        "contains" => first.test(second, |text, part| text.contains(part)),
        "startswith" => first.test(second, |text, start| text.starts_with(start)),
        "endswith" => first.test(second, |text, end| text.ends_with(end)),
        _ => return None,
    };
    Some(Value::Bool(holds))
}
