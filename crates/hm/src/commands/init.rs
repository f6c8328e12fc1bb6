//! `hm init`: a first pipeline.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::Path;

use clap::ValueEnum;

use crate::cli::{InitArgs, ProjectKind};
use crate::commands::source;
use crate::error::CliError;
use crate::exit::Exit;
use crate::init::{Found, detect, package, template};
use crate::output;
use crate::process::Process;
use crate::settings::Places;

const FILE: &str = ".hm/pipeline.py";

/// Writes `.hm/pipeline.py` and names it.
pub(crate) fn init(args: &InitArgs, process: &Process) -> Result<Exit, CliError> {
    let folder = Places::find(args.target.dir.as_deref(), process)?.start;
    // First of all: an answer that can't be used is a nuisance.
    let over = args.target.force || may_write_over(&folder)?;
    let kind = match args.kind {
        Some(kind) => kind,
        None => choose(&folder)?,
    };
    let of_node = matches!(kind, ProjectKind::Js | ProjectKind::Nextjs);
    if let Some(Err(problem)) = package(&folder).filter(|_| of_node) {
        output::note(&format!(
            "warning: package.json can't be read, so its scripts are not known and lint, test and build are taken: {problem}"
        ));
    }
    write_file(&folder.join(FILE), &template(kind, &folder), over)?;
    output::result(&format!("{}\n", folder.join(FILE).display()))?;
    output::note("next: `hm check` looks it over, `hm graph` draws it, `hm run` runs it");
    Ok(Exit::Success)
}

/// Whether the file may be written over: where the folder itself declares pipelines, only whoever sits there can say.
fn may_write_over(folder: &Path) -> Result<bool, CliError> {
    let own = source::find(folder)?.filter(|found| is_same(found.root(), folder));
    let Some(dir) = own else { return Ok(false) };
    let files: Vec<&str> = dir
        .python_files()
        .iter()
        .chain(dir.typescript_files())
        .map(String::as_str)
        .collect();
    if files.is_empty() {
        return Ok(false);
    }
    let there = format!("{} has pipelines: {}", dir.dir().display(), files.join(", "));
    if Process::is_interactive() {
        output::note(&there);
        let what = if folder.join(FILE).exists() {
            "Write over"
        } else {
            "Add"
        };
        output::ask(&format!("{what} {FILE}? [y/N]: "));
        if read_line().is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")) {
            return Ok(true);
        }
    }
    Err(exists(there))
}

/// An answer without the space around it; `None` at the end of input.
fn read_line() -> Option<String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => {
            output::note("");
            None
        }
        Ok(_) => Some(line.trim().to_owned()),
    }
}

fn is_same(root: &Path, folder: &Path) -> bool {
    folder.canonicalize().is_ok_and(|folder| folder == root)
}

/// Something is there that is not written over.
pub(super) fn exists(message: String) -> CliError {
    CliError::new("file_exists", Exit::Usage, message).fix("give the same command with --force to write over it")
}

/// What is found, or the answer of whoever sits at the terminal.
fn choose(folder: &Path) -> Result<ProjectKind, CliError> {
    let found = detect(folder);
    let likely = found.first().map_or(ProjectKind::Blank, |found| found.kind);
    if Process::is_interactive() {
        return ask(&found, likely);
    }
    match found.as_slice() {
        [] => output::note("note: no file tells what this folder holds; `hm init -t KIND` says so"),
        [only] => output::note(&format!("note: {} found, so this is {}", only.file, name(only.kind))),
        [first, others @ ..] => {
            let others: Vec<String> = others.iter().map(|found| name(found.kind)).collect();
            output::note(&format!(
                "note: {} found, so this is {}; `hm init -t KIND` for {}",
                first.file,
                name(first.kind),
                others.join(" or ")
            ));
        }
    }
    Ok(likely)
}

fn ask(found: &[Found], likely: ProjectKind) -> Result<ProjectKind, CliError> {
    output::note("What does this folder hold?");
    for (place, kind) in ProjectKind::value_variants().iter().enumerate() {
        let evidence = found.iter().find(|found| found.kind == *kind);
        let evidence = evidence.map_or(String::new(), |found| format!(" (found {})", found.file));
        output::note(&format!("  {}  {:8}{}{evidence}", place + 1, name(*kind), about(*kind)));
    }
    loop {
        output::ask(&format!("Kind [{}]: ", name(likely)));
        let Some(answer) = read_line() else {
            return Err(
                CliError::new("unanswered", Exit::Usage, "no kind was chosen, so nothing was written")
                    .fix(format!("hm init -t {}", name(likely))),
            );
        };
        match understand(&answer, likely) {
            Some(kind) => return Ok(kind),
            None => output::note("That is neither a number nor a name of the list."),
        }
    }
}

fn understand(answer: &str, likely: ProjectKind) -> Option<ProjectKind> {
    if answer.is_empty() {
        return Some(likely);
    }
    let kinds = ProjectKind::value_variants();
    match answer.parse::<usize>() {
        Ok(number) => kinds.get(number.checked_sub(1)?).copied(),
        Err(_) => ProjectKind::from_str(answer, true).ok(),
    }
}

fn name(kind: ProjectKind) -> String {
    kind.to_possible_value()
        .map_or(String::new(), |value| value.get_name().to_owned())
}

fn about(kind: ProjectKind) -> String {
    let value = kind.to_possible_value();
    let help = value.as_ref().and_then(|value| value.get_help());
    help.map_or(String::new(), ToString::to_string)
}

/// Writes a new file, or with `force` in the place of any; the folder above it is made. What a link leads to is not touched.
pub(super) fn write_file(file: &Path, text: &str, force: bool) -> Result<(), CliError> {
    let folder = file.parent().unwrap_or(file);
    require_real_folder(folder)?;
    let written = fs::create_dir_all(folder)
        .and_then(|()| if force { remove(file) } else { Ok(()) })
        .and_then(|()| OpenOptions::new().write(true).create_new(true).open(file))
        .and_then(|mut opened| opened.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(exists(format!("{} is there", file.display())))
        }
        Err(error) => Err(CliError::new(
            "file_unwritable",
            Exit::Usage,
            format!("{} can't be written", file.display()),
        )
        .cause(error.to_string())
        .fix("make the folder writable, or choose another one with --dir")),
    }
}

/// Fails where something that is no folder has the folder's name, or a link, which may lead anywhere.
fn require_real_folder(folder: &Path) -> Result<(), CliError> {
    let Ok(found) = fs::symlink_metadata(folder) else {
        return Ok(());
    };
    if found.is_dir() {
        return Ok(());
    }
    let kind = if found.is_symlink() {
        "a symbolic link, which may lead anywhere"
    } else {
        "no folder"
    };
    Err(CliError::new(
        "folder_unusable",
        Exit::Usage,
        format!("{} is {kind}", folder.display()),
    )
    .fix(format!("move it away: mv {0} {0}.old", folder.display())))
}

/// Removes a file or link, if it is there.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_names_numbers_or_nothing() {
        assert_eq!(understand("", ProjectKind::Go), Some(ProjectKind::Go));
        assert_eq!(understand("Rust", ProjectKind::Go), Some(ProjectKind::Rust));
        assert_eq!(understand("1", ProjectKind::Go), Some(ProjectKind::Cmake));
        assert_eq!(understand("9", ProjectKind::Go), Some(ProjectKind::Blank));
        for wrong in ["0", "10", "-1", "perl"] {
            assert_eq!(understand(wrong, ProjectKind::Go), None, "{wrong}");
        }
    }
}
