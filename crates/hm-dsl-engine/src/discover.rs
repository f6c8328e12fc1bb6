//! Finding `.hm/` and the pipeline files in it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::envelope::FileProblem;
use crate::error::DslError;

/// A `.hm/` folder and the pipeline files directly in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PipelineDir {
    root: PathBuf,
    dir: PathBuf,
    python: Vec<String>,
    typescript: Vec<String>,
    unusable: Vec<FileProblem>,
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

    /// What is named like a pipeline file and can't be read as one, sorted by name.
    pub fn unusable(&self) -> &[FileProblem] {
        &self.unusable
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
    let mut unusable = Vec::new();
    let entries = fs::read_dir(&dir).map_err(|source| discover_error(&dir, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| discover_error(&dir, source))?;
        let name = entry.file_name();
        let files = match name.as_encoded_bytes() {
            [b'.', ..] => continue,
            name if name.ends_with(b".py") => &mut python,
            name if name.ends_with(b".ts") && !name.ends_with(b".d.ts") => &mut typescript,
            _ => continue,
        };
        match usable(&entry.path(), name) {
            Ok(Some(name)) => files.push(name),
            Ok(None) => {}
            Err(why) => unusable.push(no_file(entry.path(), &why)),
        }
    }
    python.sort_unstable();
    typescript.sort_unstable();
    unusable.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(PipelineDir {
        root: root.to_path_buf(),
        dir,
        python,
        typescript,
        unusable,
    })
}

/// The name of a pipeline file, `None` for a folder, or why it is no file that can be read.
fn usable(path: &Path, name: OsString) -> Result<Option<String>, String> {
    let is_link = path.is_symlink();
    let kind = match fs::metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if is_link => return Err(format!("it is a link that leads nowhere ({error})")),
        Err(error) => return Err(error.to_string()),
    };
    if kind.is_dir() {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let name = name.into_string().map_err(|_| "its name is no UTF-8".to_owned())?;
    Ok(Some(name))
}

fn no_file(file: PathBuf, why: &str) -> FileProblem {
    FileProblem {
        file,
        line: None,
        pipeline: None,
        message: format!("hm: this can't be read as a pipeline: {why}\n  fix: remove it, or put a file in its place"),
        traceback: None,
    }
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
