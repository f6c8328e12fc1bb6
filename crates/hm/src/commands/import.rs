//! `hm import`: pipelines from the workflows of another system.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use crate::cli::{ImportCommand, ImportGithubArgs};
use crate::commands::init;
use crate::error::CliError;
use crate::exit::Exit;
use crate::import::{self, Imported, YamlError};
use crate::output;
use crate::process::Process;
use crate::settings::Places;

/// Writes a pipeline file for each workflow and tells what was not taken over.
pub(crate) fn import(command: &ImportCommand, process: &Process) -> Result<Exit, CliError> {
    match command {
        ImportCommand::Github(args) => github(args, process),
    }
}

const WORKFLOWS: &str = ".github/workflows";

/// A workflow on its way to a file.
struct Workflow {
    /// As it is told.
    shown: String,
    slug: String,
    target: PathBuf,
    imported: Imported,
}

fn github(args: &ImportGithubArgs, process: &Process) -> Result<Exit, CliError> {
    let folder = Places::find(args.target.dir.as_deref(), process)?.start;
    let files = if args.files.is_empty() {
        found(&folder)?
    } else {
        args.files.iter().map(|file| process.cwd.join(file)).collect()
    };
    // All are read before any is written, so that a failure leaves nothing half done.
    let workflows = read_all(&files, &folder)?;
    require_free(&workflows, args.target.force)?;
    for workflow in &workflows {
        for note in &workflow.imported.notes {
            output::note(&format!("{}:{}: {}", workflow.shown, note.line, note.text));
        }
        let Some(source) = &workflow.imported.source else {
            output::note(&format!("{}: nothing of it could be taken over", workflow.shown));
            continue;
        };
        init::write_file(&workflow.target, source, args.target.force)?;
        output::result(&format!("{}\n", workflow.target.display()))?;
        output::note(&summary(workflow));
        for other in declared_too(workflow, &workflows) {
            output::note(&format!(
                "{} declares a pipeline `{}` too: rename one of them, or delete the file that you don't need",
                other.display(),
                workflow.slug
            ));
        }
    }
    if workflows.iter().all(|workflow| workflow.imported.source.is_none()) {
        return Err(CliError::new(
            "workflow_unusable",
            Exit::Usage,
            "no workflow has a job that could be taken over",
        )
        .fix("read the lines above; `hm init` writes a pipeline to start from"));
    }
    output::note("next: `hm check` looks them over, `hm graph` draws them, `hm run` runs them");
    Ok(Exit::Success)
}

/// Other files beside the result that, by their text, declare a pipeline of the same slug.
fn declared_too(workflow: &Workflow, all: &[Workflow]) -> Vec<PathBuf> {
    let entries = workflow.target.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut files: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && all.iter().all(|other| other.target != *path))
        .filter(|path| fs::read_to_string(path).is_ok_and(|source| declares(&source, &workflow.slug)))
        .collect();
    files.sort();
    files
}

fn declares(source: &str, slug: &str) -> bool {
    source.split("pipeline(").skip(1).any(|arguments| {
        let name = arguments.trim_start().strip_prefix(['"', '\'']);
        let rest = name.and_then(|name| name.strip_prefix(slug));
        rest.is_some_and(|rest| rest.starts_with(['"', '\'']))
    })
}

fn summary(workflow: &Workflow) -> String {
    let Imported {
        source: _,
        jobs,
        steps,
        notes,
    } = &workflow.imported;
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}: {} with {}, {} about what differs",
        workflow.shown,
        count(*jobs, "job"),
        count(*steps, "step"),
        count(notes.len(), "note")
    )
}

/// The workflows of a repository, by name.
fn found(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let inside = folder.join(WORKFLOWS);
    let entries = match fs::read_dir(&inside) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
        Err(error) => Err(error),
    };
    let mut files: Vec<PathBuf> = match entries {
        Ok(entries) => entries
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| is_workflow(path))
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unreadable(&inside, &error)),
    };
    if files.is_empty() {
        return Err(CliError::new(
            "workflows_missing",
            Exit::NotFound,
            format!("there is no workflow in {}", inside.display()),
        )
        .fix("hm import github FILE"));
    }
    files.sort();
    Ok(files)
}

fn is_workflow(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yml" | "yaml")) && path.is_file()
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let exit = if error.kind() == io::ErrorKind::NotFound {
        Exit::NotFound
    } else {
        Exit::Usage
    };
    CliError::new("workflow_unreadable", exit, format!("{} can't be read", path.display()))
        .cause(error.to_string())
        .fix("hm import github .github/workflows/ci.yml")
}

fn not_text(path: &Path, error: &FromUtf8Error) -> CliError {
    let at = error.utf8_error().valid_up_to();
    let byte = error.as_bytes().get(at).copied().unwrap_or_default();
    CliError::new(
        "workflow_unreadable",
        Exit::Usage,
        format!("{} is not UTF-8: byte 0x{byte:02x} at offset {at}", path.display()),
    )
    .fix(format!(
        "iconv -f ISO-8859-1 -t UTF-8 {0} > {0}.new && mv {0}.new {0} (with the encoding that it has)",
        path.display()
    ))
}

fn read_all(files: &[PathBuf], folder: &Path) -> Result<Vec<Workflow>, CliError> {
    let mut workflows = Vec::new();
    let mut broken: Vec<(String, YamlError)> = Vec::new();
    for file in files {
        let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| not_text(file, &error))?;
        let shown = file.strip_prefix(folder).unwrap_or(file).display().to_string();
        let shown = output::on_one_line(&shown);
        let slug = slug(file);
        match import::github(&text, &shown, &slug) {
            Ok(imported) => workflows.push(Workflow {
                shown,
                target: folder.join(".hm").join(format!("{}.py", slug.replace('-', "_"))),
                slug,
                imported,
            }),
            Err(error) => broken.push((shown, error)),
        }
    }
    if broken.is_empty() {
        return Ok(workflows);
    }
    let error = CliError::new(
        "workflow_invalid",
        Exit::Usage,
        "a workflow is broken, so nothing was written",
    );
    let error = broken.iter().fold(error, |error, (file, problem)| {
        let told = output::on_one_line(&problem.to_string());
        error.cause(format!("{file}:{}: {told}", problem.line()))
    });
    Err(error.fix("mend the line and import again"))
}

/// The slug of the pipeline: the file's name as far as a slug can have it.
fn slug(file: &Path) -> String {
    let stem = file
        .file_stem()
        .map_or(String::new(), |stem| stem.to_string_lossy().to_lowercase());
    let words: Vec<&str> = stem
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let slug: String = words.join("-").chars().take(60).collect();
    let slug = slug.trim_end_matches('-');
    if slug.starts_with(|first: char| first.is_ascii_lowercase()) {
        slug.to_owned()
    } else {
        format!("ci-{slug}").trim_end_matches('-').to_owned()
    }
}

/// Fails where a file is in the way, or two workflows would become one.
fn require_free(workflows: &[Workflow], force: bool) -> Result<(), CliError> {
    let mut targets: BTreeMap<&Path, &str> = BTreeMap::new();
    for workflow in workflows {
        if !force && fs::symlink_metadata(&workflow.target).is_ok() {
            return Err(init::exists(format!("{} is there", workflow.target.display())));
        }
        if let Some(other) = targets.insert(&workflow.target, &workflow.shown) {
            return Err(CliError::new(
                "workflows_collide",
                Exit::Usage,
                format!(
                    "{other} and {} would both become {}",
                    workflow.shown,
                    workflow.target.display()
                ),
            )
            .fix("import them one by one, and rename the first file in between"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_made_of_file_names() {
        for (file, expected) in [
            ("ci.yml", "ci"),
            ("Build & Test.yaml", "build-test"),
            ("1.yml", "ci-1"),
            ("_.yml", "ci"),
        ] {
            assert_eq!(slug(Path::new(file)), expected);
        }
    }
}
