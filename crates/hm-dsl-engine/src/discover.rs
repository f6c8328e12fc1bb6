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
    /// Names of files with a suffix that is not read.
    left_out: Vec<String>,
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

    /// What may be meant as a pipeline file and is not read because of its suffix, sorted by name; no file that a
    /// TypeScript file names, since that is a library of it.
    pub(crate) fn left_out(&self) -> Vec<FileProblem> {
        let texts: Vec<String> = self
            .typescript
            .iter()
            .filter_map(|name| fs::read_to_string(self.dir.join(name)).ok())
            .collect();
        let is_library = |name: &str| texts.iter().any(|text| imports(text, name));
        let names = self.left_out.iter().filter(|name| !is_library(name));
        names.filter_map(|name| not_read(&self.dir, name)).collect()
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
    let mut left_out = Vec::new();
    let entries = fs::read_dir(&dir).map_err(|source| discover_error(&dir, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| discover_error(&dir, source))?;
        let name = entry.file_name();
        let files = match name.as_encoded_bytes() {
            [b'.', ..] => continue,
            name if name.ends_with(b".py") => &mut python,
            name if name.ends_with(b".ts") && !name.ends_with(b".d.ts") => &mut typescript,
            _ => {
                left_out.extend(name.into_string().ok().filter(|name| suffix_to_read(name).is_some()));
                continue;
            }
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
    left_out.sort_unstable();
    Ok(PipelineDir {
        root: root.to_path_buf(),
        dir,
        python,
        typescript,
        unusable,
        left_out,
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

/// Whether a TypeScript file seems to import the file of that name, with its suffix or without.
fn imports(text: &str, name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    ['.', '"', '\'', '`']
        .iter()
        .any(|end| text.contains(&format!("/{stem}{end}")))
}

/// The suffix that makes a pipeline file of one that looks like it; none for declarations (`.d.mts`).
fn suffix_to_read(name: &str) -> Option<&'static str> {
    let (stem, suffix) = name.rsplit_once('.')?;
    if Path::new(stem).extension().is_some_and(|inner| inner == "d") {
        return None;
    }
    match suffix.to_ascii_lowercase().as_str() {
        "ts" | "mts" | "cts" | "tsx" | "js" | "mjs" | "cjs" | "jsx" => Some("ts"),
        "py" | "pyw" => Some("py"),
        _ => None,
    }
}

fn not_read(dir: &Path, name: &str) -> Option<FileProblem> {
    let suffix = suffix_to_read(name)?;
    let (stem, own) = name.rsplit_once('.')?;
    Some(FileProblem {
        file: dir.join(name),
        line: None,
        pipeline: None,
        message: format!(
            "hm: this file is left out: pipelines are read from files named *.py and *.ts, not *.{own}\n  \
             fix: mv .hm/{name} .hm/{stem}.{suffix}"
        ),
        traceback: None,
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
