//! Standard output for results, standard error for everything else.

use std::io::{self, Write, stderr, stdout};

use hm_render::visible;

use crate::cli::Format;
use crate::error::CliError;
use crate::exit::Exit;

/// Writes a result. A reader that went away is no error: it had what it wanted.
pub(crate) fn result(text: &str) -> Result<(), CliError> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(&error, Exit::Unavailable)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Standard output refused to take all of a result.
pub(crate) fn unwritable(error: &io::Error, exit: Exit) -> CliError {
    CliError::new("output_unwritable", exit, "standard output can't be written")
        .cause(error.to_string())
        .fix("check what standard output is connected to, and the space on its disk: df -h")
}

/// Tells of an error: people on standard error, or programs as one JSON object on standard output.
pub(crate) fn error(error: &CliError, format: Format, colored: bool) {
    // Where the result can't be told either, it is at least told to people.
    if format == Format::Human || result(&error.to_json()).is_err() {
        drop(stderr().lock().write_all(error.to_text(colored).as_bytes()));
    }
}

/// Writes a line for people, with what can't be seen spelled out. What can't be told is not worth failing for.
pub(crate) fn note(text: &str) {
    drop(writeln!(stderr().lock(), "{}", visible(text)));
}

/// The text with line ends and what is hidden spelled out.
pub(crate) fn on_one_line(text: &str) -> String {
    visible(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// Writes a question, whose answer goes on the same line.
pub(crate) fn ask(text: &str) {
    let mut err = stderr().lock();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}
