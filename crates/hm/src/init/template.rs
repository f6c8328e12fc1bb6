//! The templates, and the little that differs from folder to folder.

use std::path::Path;

use serde_json::Value;

use super::detect;
use crate::cli::ProjectKind;

/// The pipeline file for that kind of project in that folder.
pub(crate) fn template(kind: ProjectKind, folder: &Path) -> String {
    match kind {
        ProjectKind::Cmake => include_str!("../../templates/cmake.py").to_owned(),
        ProjectKind::Elixir => include_str!("../../templates/elixir.py").to_owned(),
        ProjectKind::Nextjs => with_scripts(include_str!("../../templates/nextjs.py"), folder),
        ProjectKind::Js => with_scripts(include_str!("../../templates/js.py"), folder),
        ProjectKind::Rust => include_str!("../../templates/rust.py").to_owned(),
        ProjectKind::Zig => include_str!("../../templates/zig.py").to_owned(),
        ProjectKind::Python => include_str!("../../templates/python.py").to_owned(),
        ProjectKind::Go => include_str!("../../templates/go.py").to_owned(),
        ProjectKind::Blank => include_str!("../../templates/blank.py").to_owned(),
    }
}

/// Scripts that belong into a pipeline where a package has them.
const SCRIPTS: [&str; 4] = ["lint", "typecheck", "test", "build"];

/// Narrows the list of scripts to those that package.json has; a folder without one that can be read keeps the template's.
fn with_scripts(template: &str, folder: &Path) -> String {
    let Some(Ok(package)) = detect::package(folder) else {
        return template.to_owned();
    };
    let written: Vec<String> = SCRIPTS
        .iter()
        .filter(|script| is_script(&package["scripts"][**script]))
        .map(|script| format!("\"{script}\""))
        .collect();
    let list = format!("[{}]", written.join(", "));
    ["[\"lint\", \"test\", \"build\"]", "[\"lint\", \"build\"]"]
        .iter()
        .fold(template.to_owned(), |text, example| text.replace(example, &list))
}

/// `npm init` writes a test script that fails.
fn is_script(script: &Value) -> bool {
    script.as_str().is_some_and(|text| !text.contains("no test specified"))
}
