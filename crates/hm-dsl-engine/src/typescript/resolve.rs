//! From the specifier of an import to the file it means.

use std::path::{Path, PathBuf};

use super::confine::{Confinement, PathError};
use super::embedded;

/// What an import means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A module built into the program, by its name.
    Embedded(String),
    /// A file of the repository.
    File(PathBuf),
    /// A package, or a module of the runtime.
    Foreign,
}

/// Why an import means nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("hm: cannot import {specifier:?}: {source}\n  fix: import files of the repository only")]
    Outside { specifier: String, source: PathError },
    #[error("hm: cannot import {specifier:?}: there is no such file\n  fix: looked for {looked_for}")]
    Missing { specifier: String, looked_for: String },
    #[error(
        "hm: cannot import {specifier:?}: pipelines import .ts, .js and .json files only\n  \
         fix: read other files with readFileSync of node:fs"
    )]
    Kind { specifier: String },
}

const KINDS: &[&str] = &["ts", "mts", "js", "mjs", "json"];

/// Resolves `specifier`, written in the file `importer`.
pub(crate) fn resolve(confinement: &Confinement, importer: &Path, specifier: &str) -> Result<Target, ResolveError> {
    if let Some(name) = embedded::builtin(specifier) {
        return Ok(Target::Embedded(name.to_owned()));
    }
    let path = specifier.strip_prefix("file://").unwrap_or(specifier);
    let is_path =
        path.starts_with('/') || path.starts_with("./") || path.starts_with("../") || path == "." || path == "..";
    if !is_path {
        return Ok(Target::Foreign);
    }
    let folder = importer.parent().unwrap_or(importer);
    let candidates = candidates(path);
    for candidate in &candidates {
        match confinement.real(folder, candidate) {
            Ok(file) if file.is_file() => {
                let extension = file.extension().and_then(|extension| extension.to_str());
                return if extension.is_some_and(|extension| KINDS.contains(&extension)) {
                    Ok(Target::File(file))
                } else {
                    Err(ResolveError::Kind {
                        specifier: specifier.to_owned(),
                    })
                };
            }
            Ok(_) | Err(PathError::Io { .. }) => {}
            Err(source @ PathError::Outside { .. }) => {
                return Err(ResolveError::Outside {
                    specifier: specifier.to_owned(),
                    source,
                });
            }
        }
    }
    let looked_for: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(ResolveError::Missing {
        specifier: specifier.to_owned(),
        looked_for: looked_for.join(", "),
    })
}

/// The files that a path may mean, best first: TypeScript lets `./a.js` stand for `./a.ts`, and bundlers let `./a`
/// stand for both.
fn candidates(path: &str) -> Vec<PathBuf> {
    let mut candidates = vec![PathBuf::from(path)];
    if let Some(stem) = path.strip_suffix(".js") {
        candidates.push(format!("{stem}.ts").into());
    } else if let Some(stem) = path.strip_suffix(".mjs") {
        candidates.push(format!("{stem}.mts").into());
    } else if !KINDS.iter().any(|kind| path.ends_with(&format!(".{kind}"))) {
        candidates.extend([".ts", ".js", ".json"].map(|kind| format!("{path}{kind}").into()));
        candidates.extend(["index.ts", "index.js"].map(|name| Path::new(path).join(name)));
    }
    candidates
}
