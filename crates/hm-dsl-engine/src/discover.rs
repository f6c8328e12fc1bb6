//! Finding `.hm/` and the pipeline files in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::DslError;

/// A `.hm/` folder and the pipeline files directly in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PipelineDir {
    root: PathBuf,
    dir: PathBuf,
    python: Vec<String>,
    typescript: Vec<String>,
}

impl PipelineDir {
    /// The project's folder: the one that has `.hm/`. Absolute, without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The `.hm/` folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of the Python files, sorted.
    pub fn python_files(&self) -> &[String] {
        &self.python
    }

    /// Names of the TypeScript files, sorted.
    pub fn typescript_files(&self) -> &[String] {
        &self.typescript
    }
}

/// Finds the nearest `.hm/` folder in `start` or above it; `None` where there is none.
///
/// Hidden files, declaration files (`.d.ts`) and folders in `.hm/` are no pipelines.
pub fn discover(start: &Path) -> Result<Option<PipelineDir>, DslError> {
    let start = start.canonicalize().map_err(|source| discover_error(start, source))?;
    for root in start.ancestors() {
        let dir = root.join(".hm");
        if dir.is_dir() {
            return list(root, dir).map(Some);
        }
    }
    Ok(None)
}

fn list(root: &Path, dir: PathBuf) -> Result<PipelineDir, DslError> {
    let mut python = Vec::new();
    let mut typescript = Vec::new();
    let entries = fs::read_dir(&dir).map_err(|source| discover_error(&dir, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| discover_error(&dir, source))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') || !entry.path().is_file() {
            continue;
        }
        match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
            Some("py") => python.push(name),
            Some("ts") if !name.ends_with(".d.ts") => typescript.push(name),
            _ => {}
        }
    }
    python.sort_unstable();
    typescript.sort_unstable();
    Ok(PipelineDir {
        root: root.to_path_buf(),
        dir,
        python,
        typescript,
    })
}

fn discover_error(path: &Path, source: io::Error) -> DslError {
    DslError::Discover {
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_folder_upward_and_sorts_its_files() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        fs::create_dir_all(root.join(".hm/lib")).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        for name in [
            "z.py",
            "a.py",
            ".hidden.py",
            "x.ts",
            "types.d.ts",
            "config.toml",
            "lib/inner.py",
        ] {
            fs::write(root.join(".hm").join(name), "").unwrap();
        }
        let found = discover(&root.join("a/b")).unwrap().unwrap();
        assert_eq!(found.root(), root);
        assert_eq!(found.dir(), root.join(".hm"));
        assert_eq!(found.python_files(), ["a.py", "z.py"]);
        assert_eq!(found.typescript_files(), ["x.ts"]);
    }

    #[test]
    fn a_missing_start_is_an_error_that_names_it() {
        let temp = tempfile::tempdir().unwrap();
        let missing = temp.path().join("missing");
        let error = discover(&missing).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
