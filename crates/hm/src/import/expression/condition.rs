//! Conditions of jobs and steps.

use super::parse::{Expression, parse};
use super::scope::{Meaning, Scope};
use crate::import::python;

/// What a condition says about failures before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::import) enum Status {
    /// Nothing: only after success.
    Success,
    /// `always()`, `!cancelled()`
    Always,
    /// `failure()`, `cancelled()`
    Failure,
}

/// The rest of a condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::import) enum Truth {
    Known(bool),
    /// A Python expression that gives a bool.
    Python(String),
    /// Only the system the workflow is from can say.
    Unknown,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::import) struct Condition {
    pub(in crate::import) status: Status,
    pub(in crate::import) truth: Truth,
}

/// What `if: SOURCE` says, with or without braces.
pub(in crate::import) fn condition(source: &str, scope: &Scope) -> Condition {
    let inside = source.trim();
    let bare = inside.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    let unknown = Condition {
        status: Status::Success,
        truth: Truth::Unknown,
    };
    parse(bare.unwrap_or(inside)).map_or(unknown, |expression| evaluate(&expression, scope))
}

/// Whether a value such as that of `continue-on-error` means yes.
pub(in crate::import) fn truth_of_text(source: &str, scope: &Scope) -> Truth {
    match source.trim() {
        "true" => Truth::Known(true),
        "false" | "" => Truth::Known(false),
        other if other.starts_with("${{") => condition(other, scope).truth,
        _ => Truth::Unknown,
    }
}

fn evaluate(expression: &Expression, scope: &Scope) -> Condition {
    let (status, truth) = match expression {
        Expression::Call(name, _) if name == "always" => (Status::Always, Truth::Known(true)),
        Expression::Call(name, _) if name == "success" => (Status::Success, Truth::Known(true)),
        Expression::Call(name, _) if name == "failure" || name == "cancelled" => (Status::Failure, Truth::Known(true)),
        Expression::Call(name, arguments) => (Status::Success, call(name, arguments, scope)),
        Expression::Not(inner) => match evaluate(inner, scope) {
            Condition {
                status: Status::Failure,
                truth: Truth::Known(true),
            } => (Status::Always, Truth::Known(true)),
            Condition {
                status: Status::Success,
                truth,
            } => (Status::Success, not(truth)),
            Condition { .. } => (Status::Success, Truth::Unknown),
        },
        Expression::And(left, right) => {
            let (left, right) = (evaluate(left, scope), evaluate(right, scope));
            let status = if left.status == Status::Success {
                right.status
            } else {
                left.status
            };
            (status, and(left.truth, right.truth))
        }
        Expression::Or(left, right) => {
            let (left, right) = (evaluate(left, scope), evaluate(right, scope));
            if left.status == Status::Success && right.status == Status::Success {
                (Status::Success, or(left.truth, right.truth))
            } else {
                (Status::Success, Truth::Unknown)
            }
        }
        Expression::Equal(left, right) => (Status::Success, equal(&scope.meaning(left), &scope.meaning(right))),
        Expression::Literal(_) | Expression::Path(_) => (Status::Success, truthy(scope.meaning(expression))),
    };
    Condition { status, truth }
}

/// Texts are compared without regard to case.
fn equal(left: &Meaning, right: &Meaning) -> Truth {
    match (left, right) {
        (Meaning::Known(left), Meaning::Known(right)) => Truth::Known(left.eq_ignore_ascii_case(right)),
        (Meaning::Python(source), Meaning::Known(text)) | (Meaning::Known(text), Meaning::Python(source)) => {
            Truth::Python(format!("{source} == {}", python::quoted(text, '"')))
        }
        (Meaning::Python(left), Meaning::Python(right)) => Truth::Python(format!("{left} == {right}")),
        _ => Truth::Unknown,
    }
}

fn call(name: &str, arguments: &[Expression], scope: &Scope) -> Truth {
    let [first, second] = arguments else {
        return Truth::Unknown;
    };
    match (name, scope.meaning(first), scope.meaning(second)) {
        ("startswith", Meaning::Python(source), Meaning::Known(text)) => {
            Truth::Python(format!("{source}.startswith({})", python::quoted(&text, '"')))
        }
        ("endswith", Meaning::Python(source), Meaning::Known(text)) => {
            Truth::Python(format!("{source}.endswith({})", python::quoted(&text, '"')))
        }
        ("contains", Meaning::Python(source), Meaning::Known(text)) => {
            Truth::Python(format!("{} in {source}", python::quoted(&text, '"')))
        }
        ("startswith", Meaning::Known(text), Meaning::Known(start)) => Truth::Known(text.starts_with(&start)),
        ("endswith", Meaning::Known(text), Meaning::Known(end)) => Truth::Known(text.ends_with(&end)),
        ("contains", Meaning::Known(text), Meaning::Known(part)) => Truth::Known(text.contains(&part)),
        _ => Truth::Unknown,
    }
}

fn truthy(meaning: Meaning) -> Truth {
    match meaning {
        Meaning::Known(text) => Truth::Known(!matches!(text.as_str(), "" | "false" | "0")),
        Meaning::Python(source) => Truth::Python(format!("{source} not in (\"\", \"false\", \"0\")")),
        Meaning::Variable(_) | Meaning::Secret(_) | Meaning::Unknown => Truth::Unknown,
    }
}

fn not(truth: Truth) -> Truth {
    match truth {
        Truth::Known(known) => Truth::Known(!known),
        Truth::Python(source) => Truth::Python(format!("not ({source})")),
        Truth::Unknown => Truth::Unknown,
    }
}

fn and(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Truth::Known(false), _) | (_, Truth::Known(false)) => Truth::Known(false),
        (Truth::Known(true), other) | (other, Truth::Known(true)) => other,
        (Truth::Python(left), Truth::Python(right)) => Truth::Python(format!("({left}) and ({right})")),
        (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
    }
}

fn or(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Truth::Known(true), _) | (_, Truth::Known(true)) => Truth::Known(true),
        (Truth::Known(false), other) | (other, Truth::Known(false)) => other,
        (Truth::Python(left), Truth::Python(right)) => Truth::Python(format!("({left}) or ({right})")),
        (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> Condition {
        let scope = Scope {
            matrix: vec!["os".to_owned(), "experimental".to_owned()],
            ..Scope::default()
        };
        condition(source, &scope)
    }

    #[test]
    fn what_is_known_is_decided() {
        assert_eq!(of("runner.os == 'linux'").truth, Truth::Known(true));
        assert_eq!(
            of("${{ runner.os == 'Windows' && github.ref == 'x' }}").truth,
            Truth::Known(false)
        );
        assert_eq!(of("github.ref == 'refs/heads/main'").truth, Truth::Unknown);
        assert_eq!(of("not an expression").truth, Truth::Unknown);
    }

    #[test]
    fn what_the_matrix_knows_becomes_python() {
        assert_eq!(
            of("matrix.os != 'x'").truth,
            Truth::Python("not (m['os'] == \"x\")".to_owned())
        );
        assert_eq!(
            of("startsWith(matrix.os, 'ubuntu') && matrix.experimental").truth,
            Truth::Python(
                "(m['os'].startswith(\"ubuntu\")) and (m['experimental'] not in (\"\", \"false\", \"0\"))".to_owned()
            )
        );
    }

    #[test]
    fn failures_before_a_step_are_apart() {
        assert_eq!(of("always()").status, Status::Always);
        assert_eq!(of("!cancelled() && runner.os == 'Linux'"), of("always()"));
        assert_eq!(of("failure()").status, Status::Failure);
        assert_eq!(of("success()").status, Status::Success);
        assert_eq!(of("failure() || matrix.os == 'x'").truth, Truth::Unknown);
    }
}
