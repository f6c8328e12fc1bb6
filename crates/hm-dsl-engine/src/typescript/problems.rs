//! From what JavaScript throws to a problem at a place in the user's files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::envelope::FileProblem;
use crate::origins::Place;

use super::files::{Files, ModuleError, ModuleFile};
use super::unknown_name::UnknownName;

/// What was thrown, as far as it can be read.
#[derive(Clone, Default, Debug)]
pub(crate) struct Thrown {
    pub(crate) name: Option<String>,
    pub(crate) message: String,
    pub(crate) stack: String,
}

/// A call in the user's files.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Frame {
    function: String,
    file: PathBuf,
    line: u32,
    column: u32,
}

/// Problems with imports. What is thrown for one carries its number, so that the problem is found again wherever the
/// error ends up.
#[derive(Default, Debug)]
pub(crate) struct Failures(Vec<FileProblem>);

/// What a problem is about when the stack doesn't say more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// The pipeline file.
    pub(crate) file: &'a Path,
    /// The pipeline in it.
    pub(crate) slug: Option<&'a str>,
}

impl Failures {
    /// Remembers a problem and gives the message to throw for it.
    pub(crate) fn add(&mut self, problem: FileProblem) -> String {
        let message = format!("{} [problem {} of hm]", problem.message, self.0.len());
        self.0.push(problem);
        message
    }

    /// The problem that a message was made for.
    pub(crate) fn find(&self, message: &str) -> Option<&FileProblem> {
        let (_, rest) = message.rsplit_once(" [problem ")?;
        let (number, _) = rest.split_once(" of hm]")?;
        self.0.get(number.parse::<usize>().ok()?)
    }
}

impl Thrown {
    /// The problem, at the innermost line of the user's files that took part.
    pub(crate) fn problem(&self, about: About<'_>, root: &Path, files: &Files) -> FileProblem {
        if let Some(problem) = self.unknown_name(about, files) {
            return problem;
        }
        let frames = frames(&self.stack, root, files);
        let message = self.text();
        let (file, line) = match frames.first() {
            Some(frame) => (frame.file.clone(), Some(frame.line)),
            None => (about.file.to_path_buf(), self.guess(about, files)),
        };
        FileProblem {
            file,
            line,
            pipeline: about.slug.map(str::to_owned),
            traceback: traceback(&message, &frames),
            message,
        }
    }

    /// The problem of an import of something that a module built in doesn't have.
    fn unknown_name(&self, about: About<'_>, files: &Files) -> Option<FileProblem> {
        if self.name.as_deref() != Some("SyntaxError") {
            return None;
        }
        let unknown = UnknownName::find(&self.message)?;
        let place = files.importing(about.file, &unknown.name, |specifier| unknown.is_of(specifier));
        let (file, line) = match place {
            Some((file, line)) => (file, Some(line)),
            None => (about.file.to_path_buf(), self.guess(about, files)),
        };
        Some(FileProblem {
            file,
            line,
            pipeline: about.slug.map(str::to_owned),
            message: unknown.message(),
            traceback: None,
        })
    }

    fn text(&self) -> String {
        let message = self.message.trim_end();
        if message.starts_with("hm") {
            return message.to_owned();
        }
        let is_early = message.ends_with("is not initialized") || message.ends_with("before initialization");
        if self.name.as_deref() == Some("ReferenceError") && is_early {
            let fix = "declare it above; files that import each other move what both use into a third one";
            return format!("ReferenceError: {message}\n  fix: {fix}");
        }
        match self.name.as_deref() {
            Some(name) if message.is_empty() => name.to_owned(),
            Some(name) => format!("{name}: {message}"),
            None => format!("hm: the file throws {message}, which is no Error"),
        }
    }

    /// The line in the pipeline file that the words of the message lead to.
    fn guess(&self, about: About<'_>, files: &Files) -> Option<u32> {
        let module = files.known(about.file)?;
        // What is no Error has no stack.
        if self.name.is_none()
            && let Some(line) = module.line_throwing(&self.message)
        {
            return Some(line);
        }
        if let Some(slug) = about.slug {
            return line_of_slug(&module, slug);
        }
        // Linking has no stack: "Could not find export 'a' in module 'b'", and Node's words for the same.
        if self.name.as_deref() == Some("SyntaxError") && self.message.contains("export") {
            let quoted: Vec<_> = self.message.split('\'').skip(1).step_by(2).collect();
            let name = quoted.iter().find(|word| !word.contains(['/', '.', ':']))?;
            return module
                .line_naming(&["import", name])
                .or_else(|| module.line_naming(&[name]));
        }
        // The SDK looks at definitions when the file has run: what it quotes stands in one of them.
        if self.name.as_deref() == Some("PipelineError") {
            let problem = self.message.lines().next()?;
            let mut quoted = problem.split('"').skip(1).step_by(2).filter(|word| !word.is_empty());
            return quoted
                .find_map(|word| module.line_naming(&[word]))
                .or_else(|| module.line_naming(&["export", "default"]))
                .or_else(|| module.line_naming(&["export", "pipelines"]));
        }
        None
    }
}

impl ModuleError {
    /// The problem; `importer` is the place of the import that led to the file.
    pub(crate) fn problem(&self, importer: (PathBuf, Option<u32>)) -> FileProblem {
        let (file, line, message) = match self {
            Self::Syntax {
                path, line, message, ..
            } => (path.clone(), Some(*line), message.clone()),
            Self::Read { source, .. } => (importer.0, importer.1, format!("{self}: {source}")),
            Self::TooLarge { .. } => (importer.0, importer.1, self.to_string()),
        };
        FileProblem {
            file,
            line,
            pipeline: None,
            message,
            traceback: None,
        }
    }
}

/// The innermost call in the user's files.
pub(super) fn innermost(stack: &str, root: &Path, files: &Files) -> Option<Place> {
    let Frame { file, line, .. } = frames(stack, root, files).into_iter().next()?;
    Some(Place { file, line })
}

/// The line that seems to declare the pipeline.
pub(super) fn line_of_slug(module: &ModuleFile, slug: &str) -> Option<u32> {
    module
        .line_naming(&["slug", &format!("\"{slug}\"")])
        .or_else(|| module.line_naming(&["slug", &format!("'{slug}'")]))
        .or_else(|| module.line_naming(&[slug]))
}

/// The calls in the user's files, innermost first, at their places in the sources.
fn frames(stack: &str, root: &Path, files: &Files) -> Vec<Frame> {
    let parsed = stack.lines().filter_map(parse);
    parsed
        .filter(|frame| {
            frame.file.starts_with(root) && !frame.file.components().any(|part| part.as_os_str() == "node_modules")
        })
        .map(|frame| match files.known(&frame.file) {
            Some(module) => {
                let (line, column) = module.positions.source(frame.line, frame.column);
                Frame { line, column, ..frame }
            }
            None => frame,
        })
        .collect()
}

/// `at function (file:line:column)`, where the function, its brackets and the column may be missing.
fn parse(line: &str) -> Option<Frame> {
    let call = line.trim().strip_prefix("at ")?;
    let (function, place) = match call.strip_suffix(')').and_then(|call| call.rsplit_once(" (")) {
        Some((function, place)) => (function, place),
        None => ("", call),
    };
    let place = place.strip_prefix("async ").unwrap_or(place);
    let (rest, last) = place.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    let (file, line, column) = match rest.rsplit_once(':').map(|(file, line)| (file, line.parse::<u32>())) {
        Some((file, Ok(line))) => (file, line, last),
        Some(_) | None => (rest, last, 1),
    };
    Some(Frame {
        function: function.to_owned(),
        file: path_of(file),
        line,
        column,
    })
}

/// The path in a `file://` URL, or the path itself.
fn path_of(place: &str) -> PathBuf {
    let Some(encoded) = place.strip_prefix("file://") else {
        return PathBuf::from(place);
    };
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        let mut digits = rest.clone();
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, hex(digits.next()), hex(digits.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = digits;
            }
            _ => bytes.push(byte),
        }
    }
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

fn traceback(message: &str, frames: &[Frame]) -> Option<String> {
    if frames.is_empty() {
        return None;
    }
    let mut text = format!("{message}\n");
    for Frame {
        function,
        file,
        line,
        column,
    } in frames
    {
        let place = format!("{}:{line}:{column}", file.display());
        let written = if function.is_empty() {
            writeln!(text, "    at {place}")
        } else {
            writeln!(text, "    at {function} ({place})")
        };
        written.expect("writing to a String can't fail");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_of_both_engines_are_read() {
        for (line, expected) in [
            ("    at f (/p/a.ts:3:5)", ("f", "/p/a.ts", 3, 5)),
            ("    at /p/a.ts:3:5", ("", "/p/a.ts", 3, 5)),
            ("    at <anonymous> (/p/a.ts:3)", ("<anonymous>", "/p/a.ts", 3, 1)),
            (
                "    at async Object.f (file:///p/a%20b.ts:3:5)",
                ("async Object.f", "/p/a b.ts", 3, 5),
            ),
            ("    at file:///p/a.ts:1:2", ("", "/p/a.ts", 1, 2)),
        ] {
            let frame = parse(line).unwrap();
            assert_eq!(
                (
                    frame.function.as_str(),
                    frame.file.to_str().unwrap(),
                    frame.line,
                    frame.column
                ),
                expected
            );
        }
        assert_eq!(parse("    at map (native)"), None);
        assert_eq!(parse("TypeError: x"), None);
    }
}
