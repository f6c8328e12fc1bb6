//! Conditions of jobs and steps.

use super::parse::{Expression, parse};
use super::scope::Scope;
use super::table::Table;

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

/// Whether a condition names what came before, so that it is looked at after a failure too.
pub(in crate::import) fn names_status(source: &str) -> bool {
    let close: String = source.to_ascii_lowercase().split_whitespace().collect();
    ["always(", "cancelled(", "failure("]
        .iter()
        .any(|name| close.contains(name))
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
        Expression::Call(..)
        | Expression::Equal(..)
        | Expression::Literal(_)
        | Expression::Path(_)
        | Expression::Other => (Status::Success, decided(expression, scope)),
    };
    Condition { status, truth }
}

/// What the expression comes to in the combinations of the matrix.
fn decided(expression: &Expression, scope: &Scope) -> Truth {
    let Some(table) = Table::of(expression, scope, |value| Some(value.is_true())) else {
        return Truth::Unknown;
    };
    table
        .only()
        .map_or_else(|| Truth::Python(table.condition()), |known| Truth::Known(*known))
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
    use crate::import::notes::Notes;
    use crate::import::yaml;

    fn of(source: &str) -> Condition {
        with("{os: [ubuntu, Ubuntu-22, x], experimental: ['', 'false', 0]}", source)
    }

    fn with(matrix: &str, source: &str) -> Condition {
        let matrix = crate::import::matrix::matrix(&yaml::parse(matrix).unwrap(), &Notes::default());
        let scope = Scope {
            matrix: matrix.unwrap().combinations(),
            ..Scope::default()
        };
        condition(source, &scope)
    }

    fn python(source: &str) -> Truth {
        Truth::Python(source.to_owned())
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
        assert_eq!(of("matrix.os != 'X'").truth, python("not (m['os'] == \"x\")"));
        assert_eq!(
            of("startsWith(matrix.os, 'UBUNTU') && matrix.experimental").truth,
            python("(m['os'] != \"x\") and (m['experimental'] == \"false\")")
        );
        assert_eq!(
            of("contains(matrix.os, 'U-2')").truth,
            python("m['os'] == \"Ubuntu-22\"")
        );
        assert_eq!(of("endsWith(matrix.os, 'NTU')").truth, python("m['os'] == \"ubuntu\""));
    }

    #[test]
    fn values_of_a_matrix_keep_their_kind() {
        let matrix = "{n: ['1.0', 1, '', x]}";
        assert_eq!(
            with(matrix, "matrix.n == 1").truth,
            python("m['n'] in (\"1.0\", \"1\")")
        );
        assert_eq!(with(matrix, "matrix.n == '1'").truth, python("m['n'] == \"1\""));
        assert_eq!(with(matrix, "matrix.n == false").truth, python("m['n'] == \"\""));
        assert_eq!(with("{s: ['0', 'false']}", "matrix.s").truth, Truth::Known(true));
        assert_eq!(with("{s: [0, false, ~]}", "matrix.s").truth, Truth::Known(false));
        assert_eq!(with("{l: [[a, b]]}", "contains(matrix.l, 'a')").truth, Truth::Unknown);
    }

    #[test]
    fn values_of_the_same_text_can_not_be_told_apart() {
        assert_eq!(with("{s: ['0', 0]}", "matrix.s").truth, Truth::Unknown);
        assert_eq!(with("{s: ['0', 0]}", "matrix.s == 0").truth, Truth::Known(true));
    }

    #[test]
    fn several_values_decide_together() {
        let matrix = "{a: [x, y], b: [X, z]}";
        assert_eq!(
            with(matrix, "matrix.a == matrix.b").truth,
            python("(m['a'], m['b']) == (\"x\", \"X\")")
        );
        assert_eq!(
            with(matrix, "(matrix.b == 'z' && matrix.a) == 'y'").truth,
            python("(m['a'], m['b']) == (\"y\", \"z\")")
        );
    }

    #[test]
    fn one_side_may_decide() {
        for unknown in ["github.ref", "f(x)[0]", "github.event.a.*.b", "github.event.n > 1"] {
            assert_eq!(of(&format!("false && {unknown}")).truth, Truth::Known(false));
            assert_eq!(of(&format!("{unknown} && false")).truth, Truth::Known(false));
            assert_eq!(of(&format!("true || {unknown}")).truth, Truth::Known(true));
            assert_eq!(of(&format!("true && {unknown}")).truth, Truth::Unknown);
        }
        assert_eq!(of("contains('Hello', 'hello')").truth, Truth::Known(true));
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
