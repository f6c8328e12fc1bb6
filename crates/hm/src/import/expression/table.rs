//! What an expression comes to in each combination of a matrix.

use std::collections::BTreeSet;

use super::parse::{Expression, parse};
use super::scope::Scope;
use super::value::Value;
use crate::import::python;

/// Results by the texts of what they depend on.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::import) struct Table<T> {
    keys: BTreeSet<String>,
    rows: Vec<(Vec<String>, T)>,
}

impl<T: Clone + PartialEq> Table<T> {
    /// As [`Table::of`], of a value that is an expression in braces or stands for itself.
    pub(in crate::import) fn of_text(source: &str, scope: &Scope, read: impl Fn(&Value) -> Option<T>) -> Option<Self> {
        let source = source.trim();
        let inside = source.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
        let expression = match inside {
            Some(inside) => parse(inside)?,
            None => Expression::Literal(Value::of_scalar(source, true)),
        };
        Self::of(&expression, scope, read)
    }

    /// What `read` makes of the expression's value in each combination; `None` where it makes nothing of one, or where
    /// values of the matrix that have the same text lead to different results.
    pub(super) fn of(expression: &Expression, scope: &Scope, read: impl Fn(&Value) -> Option<T>) -> Option<Self> {
        let mut keys = BTreeSet::new();
        find_keys(expression, scope, &mut keys);
        let combinations = scope.combinations();
        let mut rows: Vec<(Vec<String>, T)> = Vec::new();
        for combination in combinations.iter() {
            let result = read(&scope.value(expression, combination)?)?;
            let texts: Vec<String> = keys.iter().map(|key| combination.text_of(key)).collect();
            match rows.iter().find(|(known, _)| *known == texts) {
                None => rows.push((texts, result)),
                Some((_, other)) if *other != result => return None,
                Some(_) => {}
            }
        }
        Some(Self { keys, rows })
    }

    /// The result where it is the same in all combinations.
    pub(in crate::import) fn only(&self) -> Option<&T> {
        let (_, first) = self.rows.first()?;
        self.rows.iter().all(|(_, result)| result == first).then_some(first)
    }

    /// A result for each row.
    pub(in crate::import) fn results(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|(_, result)| result)
    }

    /// Python source that looks the result up, as `source` says it.
    pub(in crate::import) fn lookup(&self, source: impl Fn(&T) -> String) -> String {
        if let Some(only) = self.only() {
            return source(only);
        }
        let entries: Vec<String> = self
            .rows
            .iter()
            .map(|(texts, result)| format!("{}: {}", row(texts), source(result)))
            .collect();
        format!("{{{}}}[{}]", entries.join(", "), self.subject())
    }

    /// Python source of the values that decide.
    fn subject(&self) -> String {
        let values: Vec<String> = self
            .keys
            .iter()
            .map(|key| format!("m[{}]", python::quoted(key, '\'')))
            .collect();
        tuple(&values)
    }
}

impl Table<bool> {
    /// Python source of a bool that is true where the result is.
    pub(super) fn condition(&self) -> String {
        let (yes, no): (Vec<_>, Vec<_>) = self.rows.iter().partition(|(_, result)| *result);
        let (rows, is, among) = if yes.len() <= no.len() {
            (yes, "==", "in")
        } else {
            (no, "!=", "not in")
        };
        let rows: Vec<String> = rows.iter().map(|(texts, _)| row(texts)).collect();
        match rows.as_slice() {
            [only] => format!("{} {is} {only}", self.subject()),
            _ => format!("{} {among} ({})", self.subject(), rows.join(", ")),
        }
    }
}

fn row(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| python::quoted(text, '"')).collect();
    tuple(&texts)
}

fn tuple(items: &[String]) -> String {
    match items {
        [only] => only.clone(),
        _ => format!("({})", items.join(", ")),
    }
}

/// The keys of the matrix that an expression names.
fn find_keys(expression: &Expression, scope: &Scope, keys: &mut BTreeSet<String>) {
    match expression {
        Expression::Literal(_) | Expression::Other => {}
        Expression::Path(path) => keys.extend(scope.key_of(path)),
        Expression::Call(_, inner) => inner.iter().for_each(|inner| find_keys(inner, scope, keys)),
        Expression::Not(inner) => find_keys(inner, scope, keys),
        Expression::Equal(left, right) | Expression::And(left, right) | Expression::Or(left, right) => {
            find_keys(left, scope, keys);
            find_keys(right, scope, keys);
        }
    }
}
