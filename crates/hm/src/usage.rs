//! Command lines that can't be understood.

use std::env::args_os;

use clap::error::{ContextKind, ContextValue};

use crate::cli::Format;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::process::Process;
use crate::settings::preferred_format;

/// Help and version are results; everything else that clap says is a usage error, for programs one JSON object.
pub(crate) fn tell(told: &clap::Error, process: Option<&Process>) -> Exit {
    if !told.use_stderr() {
        drop(told.print());
        return Exit::Success;
    }
    let by_flag = format_flag(args_os().skip(1).filter_map(|argument| argument.into_string().ok()));
    let format = by_flag.or_else(|| process.map(preferred_format));
    if format != Some(Format::Json) || output::result(&error(told).to_json()).is_err() {
        drop(told.print());
    }
    Exit::Usage
}

/// What the arguments say about the output, as far as that can be told of those that are not understood.
fn format_flag(arguments: impl Iterator<Item = String>) -> Option<Format> {
    let mut found = None;
    let mut expected = false;
    for argument in arguments {
        if argument == "--" {
            break;
        }
        let value = if expected {
            Some(argument.as_str())
        } else {
            argument.strip_prefix("--format=")
        };
        expected = argument == "--format";
        match value {
            Some("json") => found = Some(Format::Json),
            Some("human") => found = Some(Format::Human),
            Some(_) | None => {}
        }
    }
    found
}

/// What clap says, without its layout.
fn error(told: &clap::Error) -> CliError {
    let rendered = told.render().to_string();
    let mut paragraphs = rendered.split("\n\n").map(str::trim);
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let mut lines = message.lines().map(str::trim);
    let error = CliError::new("usage", Exit::Usage, lines.next().unwrap_or_default());
    let mut error = lines.fold(error, CliError::cause);
    for kind in [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ] {
        error = match told.get(kind) {
            Some(ContextValue::String(suggested)) => error.fix(format!("did you mean {suggested}?")),
            Some(ContextValue::Strings(several)) if !several.is_empty() => {
                error.fix(format!("did you mean {}?", several.join(" or ")))
            }
            _ => error,
        };
    }
    error.fix("hm --help, and hm COMMAND --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Option<Format> {
        format_flag(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn the_format_is_found_among_what_is_not_understood() {
        assert_eq!(of(&["run", "--format", "json", "--nope"]), Some(Format::Json));
        assert_eq!(of(&["--nope", "--format=json"]), Some(Format::Json));
        assert_eq!(of(&["--format=json", "--format", "human"]), Some(Format::Human));
        assert_eq!(of(&["run", "--", "--format=json"]), None);
        assert_eq!(of(&["run", "--format"]), None);
    }
}
