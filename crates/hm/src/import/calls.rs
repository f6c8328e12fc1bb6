//! Python calls, on one line where they fit.

use crate::append::append_line;

/// Columns of a line.
const WIDTH: usize = 110;

/// A call with its arguments as source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Call {
    /// What is called.
    function: String,
    arguments: Vec<String>,
}

impl Call {
    pub(super) fn new(function: impl Into<String>) -> Self {
        Self {
            function: function.into(),
            arguments: Vec::new(),
        }
    }

    pub(super) fn argument(&mut self, source: impl Into<String>) {
        self.arguments.push(source.into());
    }

    pub(super) fn keyword(&mut self, name: &str, source: &str) {
        self.arguments.push(format!("{name}={source}"));
    }

    /// The source, its first line behind `before` and the others at `indent`, with `after` at the end.
    pub(super) fn source(&self, indent: usize, before: &str, after: &str) -> String {
        let space = " ".repeat(indent);
        let line = format!(
            "{space}{before}{}({}){after}\n",
            self.function,
            self.arguments.join(", ")
        );
        let lone = self.arguments.len() < 2;
        if lone || (!line.trim_end().contains('\n') && line.chars().count() <= WIDTH) {
            return line;
        }
        let mut text = format!("{space}{before}{}(\n", self.function);
        for argument in &self.arguments {
            append_line(&mut text, format_args!("{space}    {argument},"));
        }
        append_line(&mut text, format_args!("{space}){after}"));
        text
    }
}

/// A list, on one line where it fits.
pub(super) fn list(indent: usize, before: &str, items: &[String]) -> String {
    between(indent, before, items, ("[", "]"))
}

/// A dict of `"name": value`, on one line where it fits.
pub(super) fn dict(indent: usize, before: &str, items: &[String]) -> String {
    between(indent, before, items, ("{", "}"))
}

fn between(indent: usize, before: &str, items: &[String], (open, close): (&str, &str)) -> String {
    let space = " ".repeat(indent);
    let line = format!("{space}{before}{open}{}{close}\n", items.join(", "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    let mut text = format!("{space}{before}{open}\n");
    for item in items {
        append_line(&mut text, format_args!("{space}    {item},"));
    }
    append_line(&mut text, format_args!("{space}{close}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_has_a_line_each() {
        let mut call = Call::new("step.sh");
        call.argument("\"make\"");
        call.keyword("label", "\"build\"");
        assert_eq!(
            call.source(4, "step = ", ""),
            "    step = step.sh(\"make\", label=\"build\")\n"
        );
        call.keyword("env", &format!("\"{}\"", "x".repeat(90)));
        let text = call.source(4, "step = ", "");
        assert!(
            text.starts_with("    step = step.sh(\n        \"make\",\n        label=\"build\",\n"),
            "{text}"
        );
        assert!(text.ends_with(",\n    )\n"), "{text}");
    }
}
