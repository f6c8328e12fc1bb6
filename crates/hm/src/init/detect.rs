//! What a folder holds, by the files that its tools want there.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::cli::ProjectKind;

/// A kind and the file that speaks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) kind: ProjectKind,
    pub(crate) file: &'static str,
}

/// The more a file says about the whole folder, the earlier it stands: many projects have a package.json for their tools.
const FILES: [(&str, ProjectKind); 12] = [
    ("Cargo.toml", ProjectKind::Rust),
    ("go.mod", ProjectKind::Go),
    ("build.zig", ProjectKind::Zig),
    ("mix.exs", ProjectKind::Elixir),
    ("CMakeLists.txt", ProjectKind::Cmake),
    ("next.config.js", ProjectKind::Nextjs),
    ("next.config.mjs", ProjectKind::Nextjs),
    ("next.config.ts", ProjectKind::Nextjs),
    ("pyproject.toml", ProjectKind::Python),
    ("setup.py", ProjectKind::Python),
    ("requirements.txt", ProjectKind::Python),
    ("deno.json", ProjectKind::Js),
];

/// Everything that is found, likeliest first, each kind once.
pub(crate) fn detect(folder: &Path) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (file, kind) in FILES {
        let known = found.iter().any(|other| other.kind == kind);
        if !known && folder.join(file).is_file() {
            found.push(Found { kind, file });
        }
    }
    let next_known = found.iter().any(|other| other.kind == ProjectKind::Nextjs);
    let kind = match package(folder) {
        Some(Ok(package)) if has_next(&package) => ProjectKind::Nextjs,
        Some(_) if !next_known => ProjectKind::Js,
        Some(_) | None => return found,
    };
    if !found.iter().any(|other| other.kind == kind) {
        found.push(Found {
            kind,
            file: "package.json",
        });
    }
    found
}

/// The folder's package.json, or why it can't be read; `None` where there is none.
pub(crate) fn package(folder: &Path) -> Option<Result<Value, String>> {
    match fs::read(folder.join("package.json")) {
        Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| format!("it is no JSON: {error}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(error.to_string())),
    }
}

fn has_next(package: &Value) -> bool {
    let lists = ["dependencies", "devDependencies"];
    lists.iter().any(|list| package[*list]["next"].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(files: &[(&str, &str)]) -> Vec<ProjectKind> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        detect(folder.path()).into_iter().map(|found| found.kind).collect()
    }

    #[test]
    fn files_tell_the_kind() {
        assert_eq!(kinds(&[]), []);
        assert_eq!(kinds(&[("mix.exs", "")]), [ProjectKind::Elixir]);
        assert_eq!(
            kinds(&[("pyproject.toml", ""), ("setup.py", "")]),
            [ProjectKind::Python]
        );
        assert_eq!(kinds(&[("package.json", "{}")]), [ProjectKind::Js]);
        assert_eq!(kinds(&[("package.json", "not JSON")]), [ProjectKind::Js]);
    }

    #[test]
    fn next_is_told_from_other_javascript() {
        let package = ("package.json", r#"{"dependencies": {"next": "15"}}"#);
        assert_eq!(kinds(&[package]), [ProjectKind::Nextjs]);
        assert_eq!(kinds(&[package, ("next.config.mjs", "")]), [ProjectKind::Nextjs]);
        assert_eq!(
            kinds(&[("package.json", "{}"), ("next.config.js", "")]),
            [ProjectKind::Nextjs]
        );
    }

    #[test]
    fn a_package_of_tools_does_not_hide_the_project() {
        assert_eq!(
            kinds(&[("package.json", "{}"), ("Cargo.toml", "")]),
            [ProjectKind::Rust, ProjectKind::Js]
        );
    }
}
