//! What went wrong, as the user is told: a stable code, what happened, its causes, and fixes that can be pasted.

use std::error::Error;

use hm_dsl_engine::Origins;
use hm_pipeline_ir::{IrError, Problem};
use hm_render::visible;
use serde_json::json;

use crate::exit::Exit;

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct CliError {
    code: &'static str,
    message: String,
    causes: Vec<String>,
    fixes: Vec<Fix>,
    exit: Exit,
    /// The command that failed, as it is typed.
    command: String,
}

/// What can be done about an error.
#[derive(PartialEq, Eq, Debug)]
enum Fix {
    /// As it is told.
    Text(String),
    /// The command that failed, given again with something before and after it.
    Again { before: String, after: String },
}

impl CliError {
    /// An error with a stable code and how the process ends with it.
    pub(crate) fn new(code: &'static str, exit: Exit, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            causes: Vec::new(),
            fixes: Vec::new(),
            exit,
            command: "hm run".to_owned(),
        }
    }

    /// Takes the message and the causes from an error and its sources.
    pub(crate) fn from_error(code: &'static str, exit: Exit, error: &(dyn Error + 'static)) -> Self {
        Self::new(code, exit, error.to_string()).caused_by_sources_of(error)
    }

    /// There is no folder to fall back to where this variable names none.
    pub(crate) fn no_home(variable: &str) -> Self {
        Self::new(
            "home_missing",
            Exit::Usage,
            format!("neither HOME nor {variable} is set"),
        )
        .again(format!("{variable}=/some/folder"), "")
    }

    /// Adds one cause line.
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds one fix line.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fixes.push(Fix::Text(fix.into()));
        self
    }

    /// Adds one fix line: the command that failed, with these variables before and these arguments after it.
    pub(crate) fn again(mut self, before: impl Into<String>, after: impl Into<String>) -> Self {
        let (before, after) = (before.into(), after.into());
        self.fixes.push(Fix::Again { before, after });
        self
    }

    /// Says which command failed, as it is typed.
    pub(crate) fn of_command(self, command: impl Into<String>) -> Self {
        let command = command.into();
        Self { command, ..self }
    }

    /// Adds the sources of an error as causes, outermost first; a source that repeats what its error said is left out.
    pub(crate) fn caused_by_sources_of(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut said = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            let text = source.to_string();
            if !said.contains(&text) {
                self.causes.push(text.clone());
            }
            said = text;
            next = source.source();
        }
        self
    }

    /// What happened and why, without fixes.
    pub(crate) fn in_one_line(&self) -> String {
        let all = std::iter::once(&self.message).chain(&self.causes);
        let lines = all.map(|text| visible(text).split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join(": ")
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// For people, several lines, each ended.
    pub(crate) fn to_text(&self, colored: bool) -> String {
        let (red, yellow, green, reset) = if colored {
            ("\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[0m")
        } else {
            ("", "", "", "")
        };
        let mut text = format!("{red}error[{}]{reset}: {}\n", self.code, visible(&self.message));
        for cause in &self.causes {
            push_lines(&mut text, &format!("  {yellow}cause{reset}: "), cause);
        }
        for fix in self.fixes() {
            push_lines(&mut text, &format!("  {green}fix{reset}: "), &fix);
        }
        text
    }

    fn fixes(&self) -> impl Iterator<Item = String> {
        self.fixes.iter().map(|fix| match fix {
            Fix::Text(text) => text.clone(),
            Fix::Again { before, after } => [before, &self.command, after]
                .into_iter()
                .filter(|part| !part.is_empty())
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        })
    }

    /// For programs, one line, ended.
    pub(crate) fn to_json(&self) -> String {
        let object = json!({
            "kind": "error",
            "code": self.code,
            "message": self.message,
            "causes": self.causes,
            "fixes": self.fixes().collect::<Vec<_>>(),
            "exit_code": self.exit.code(),
        });
        format!("{object}\n")
    }
}

/// A document that was refused, with every problem.
pub(crate) fn invalid_ir(error: &IrError, origins: &Origins) -> CliError {
    problems("ir_invalid", "the pipeline was rejected", origins, &error.problems)
}

/// An error whose causes and fixes are those of problems in a document, which was written at `origins`.
pub(crate) fn problems<'a>(
    code: &'static str,
    message: &str,
    origins: &Origins,
    problems: impl IntoIterator<Item = &'a Problem>,
) -> CliError {
    let mut error = CliError::new(code, Exit::Rejected, message);
    for problem in problems {
        error.causes.push(located(problem, origins));
        let fix = Fix::Text(problem.hint.clone());
        if !problem.hint.is_empty() && !error.fixes.contains(&fix) {
            error.fixes.push(fix);
        }
    }
    error
}

/// A problem of a document, with the line of the user's file that made it, where that is known.
pub(crate) fn located(problem: &Problem, origins: &Origins) -> String {
    let line = origins
        .of(&problem.pointer)
        .map_or_else(String::new, |place| format!("{place}: "));
    // An empty pointer is the whole document (RFC 6901 §5).
    let part = match problem.pointer.as_str() {
        "" => "the document",
        pointer => pointer,
    };
    format!("{line}{part}: {}", problem.message)
}

fn push_lines(text: &mut String, lead: &str, lines: &str) {
    for (number, line) in lines.lines().enumerate() {
        text.push_str(if number == 0 { lead } else { "    " });
        text.push_str(&visible(line));
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_causes_and_fixes_in_order() {
        let error = CliError::new("env_invalid", Exit::Usage, "`-e BAD` is not K=V")
            .cause("there is no `=` in it")
            .fix("hm run -e BAD=value");
        assert_eq!(
            error.to_text(false),
            "error[env_invalid]: `-e BAD` is not K=V\n  cause: there is no `=` in it\n  fix: hm run -e BAD=value\n"
        );
    }

    #[test]
    fn what_can_not_be_seen_is_spelled_out_and_the_command_is_named() {
        let error = CliError::new("x", Exit::Usage, "a\u{1b}[2Jb")
            .cause("c\u{202e}d")
            .again("A=1", "--dir FOLDER")
            .of_command("hm graph");
        assert_eq!(
            error.to_text(false),
            "error[x]: a\\x1b[2Jb\n  cause: c\\u{202e}d\n  fix: A=1 hm graph --dir FOLDER\n"
        );
    }

    #[test]
    fn json_is_one_line_and_carries_the_exit_code() {
        let line = CliError::new("x", Exit::Rejected, "two\nlines").to_json();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("\"exit_code\":7"), "{line}");
    }
}
