//! Which Python evaluates the pipelines.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::DslError;
use crate::pyenv;

/// Names looked for in `PATH` when `python3` is missing or too old, the newest first.
const NEWER: [&str; 4] = ["python3.14", "python3.13", "python3.12", "python3.11"];

/// Why an interpreter was chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PythonOrigin {
    /// `HM_PYTHON` names it.
    HmPython,
    /// `VIRTUAL_ENV` names its environment.
    VirtualEnv,
    /// The project has a `.venv`.
    ProjectVenv,
    /// The project has a `uv.lock`, so `uv run` chooses.
    Uv,
    /// It is in `PATH`.
    Path,
}

impl fmt::Display for PythonOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmPython => "named by HM_PYTHON",
            Self::VirtualEnv => "of the active environment, VIRTUAL_ENV",
            Self::ProjectVenv => "of the project's .venv",
            Self::Uv => "chosen by uv for the project's uv.lock",
            Self::Path => "python3 in PATH",
        })
    }
}

/// A program that runs Python when called with the arguments of Python.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Interpreter {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) origin: PythonOrigin,
}

impl Interpreter {
    fn plain(program: PathBuf, origin: PythonOrigin) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            origin,
        }
    }
}

/// The first of `HM_PYTHON`, the active environment, the project's `.venv`, `uv run` where there is a `uv.lock`, and
/// `python3`.
pub(crate) fn find(env: &BTreeMap<String, String>, root: &Path) -> Result<Interpreter, DslError> {
    if let Some(wanted) = non_empty(env, "HM_PYTHON") {
        return named(env, root, wanted);
    }
    if let Some(folder) = non_empty(env, "VIRTUAL_ENV")
        && let Some(python) = of_environment(Path::new(folder))
    {
        return Ok(Interpreter::plain(python, PythonOrigin::VirtualEnv));
    }
    if let Some(python) = of_environment(&root.join(".venv")) {
        return Ok(Interpreter::plain(python, PythonOrigin::ProjectVenv));
    }
    if root.join("uv.lock").is_file()
        && let Some(uv) = in_path(env, "uv")
    {
        let arguments = ["run", "--quiet", "--project"].map(OsString::from);
        let arguments = arguments
            .into_iter()
            .chain([root.as_os_str().to_owned(), "python".into()])
            .collect();
        return Ok(Interpreter {
            program: uv,
            arguments,
            origin: PythonOrigin::Uv,
        });
    }
    in_path(env, "python3")
        .map(|python| behind_shim(env, root, python))
        .or_else(|| newer(env).into_iter().next())
        .or_else(|| in_path(env, "python"))
        .map(|python| Interpreter::plain(python, PythonOrigin::Path))
        .ok_or(DslError::NoPython {
            origin: PythonOrigin::Path,
        })
}

/// Interpreters in `PATH` whose names say that they are new enough, for when `python3` is not.
pub(crate) fn newer(env: &BTreeMap<String, String>) -> Vec<PathBuf> {
    NEWER.iter().filter_map(|name| in_path(env, name)).collect()
}

fn named(env: &BTreeMap<String, String>, root: &Path, wanted: &str) -> Result<Interpreter, DslError> {
    let python = if wanted.contains('/') {
        Some(root.join(wanted))
    } else {
        in_path(env, wanted)
    };
    python
        .filter(|path| is_program(path))
        .map(|path| Interpreter::plain(behind_shim(env, root, path), PythonOrigin::HmPython))
        .ok_or(DslError::NoPython {
            origin: PythonOrigin::HmPython,
        })
}

fn of_environment(folder: &Path) -> Option<PathBuf> {
    ["bin/python3", "bin/python"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| is_program(path))
}

fn behind_shim(env: &BTreeMap<String, String>, root: &Path, python: PathBuf) -> PathBuf {
    pyenv::resolve(env, root, &python).unwrap_or(python)
}

/// The program `name` as a shell would find it.
pub(crate) fn in_path(env: &BTreeMap<String, String>, name: &str) -> Option<PathBuf> {
    let path = env.get("PATH")?;
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|program| is_program(program))
}

pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn non_empty<'a>(env: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    env.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn program(path: &Path) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_path_buf()
    }

    fn variables(values: &[(&str, &Path)]) -> BTreeMap<String, String> {
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.display().to_string()))
            .collect()
    }

    #[test]
    fn each_source_yields_to_the_one_before_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("project");
        let bin = temp.path().join("bin");
        fs::create_dir_all(&root).unwrap();
        let mut env = variables(&[("PATH", &bin)]);
        assert!(matches!(
            find(&env, &root),
            Err(DslError::NoPython {
                origin: PythonOrigin::Path
            })
        ));

        let fallback = program(&bin.join("python3.12"));
        assert_eq!(find(&env, &root).unwrap().program, fallback);
        let plain = program(&bin.join("python3"));
        assert_eq!(
            find(&env, &root).unwrap(),
            Interpreter::plain(plain, PythonOrigin::Path)
        );

        fs::write(root.join("uv.lock"), "").unwrap();
        assert_eq!(
            find(&env, &root).unwrap().origin,
            PythonOrigin::Path,
            "no uv, so no uv run"
        );
        let uv = program(&bin.join("uv"));
        let chosen = find(&env, &root).unwrap();
        assert_eq!((chosen.program, chosen.origin), (uv, PythonOrigin::Uv));
        assert_eq!(chosen.arguments.last().unwrap(), "python");

        let venv = program(&root.join(".venv/bin/python"));
        assert_eq!(
            find(&env, &root).unwrap(),
            Interpreter::plain(venv, PythonOrigin::ProjectVenv)
        );

        let active = program(&temp.path().join("active/bin/python3"));
        env.extend(variables(&[("VIRTUAL_ENV", &temp.path().join("active"))]));
        assert_eq!(
            find(&env, &root).unwrap(),
            Interpreter::plain(active, PythonOrigin::VirtualEnv)
        );

        env.insert("HM_PYTHON".to_owned(), "python3.12".to_owned());
        assert_eq!(
            find(&env, &root).unwrap(),
            Interpreter::plain(fallback, PythonOrigin::HmPython)
        );
        env.insert("HM_PYTHON".to_owned(), "/nowhere/python".to_owned());
        assert!(matches!(
            find(&env, &root),
            Err(DslError::NoPython {
                origin: PythonOrigin::HmPython
            })
        ));
    }

    #[test]
    fn what_is_not_executable_is_no_python() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("python3"), "").unwrap();
        let env = variables(&[("PATH", temp.path())]);
        assert!(find(&env, temp.path()).is_err());
    }
}
