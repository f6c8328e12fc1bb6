//! The files of the repository that pipelines are made of, as modules.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::strip::{self, Import, Mapping, Positions};

/// No pipeline is longer; what is has been imported by mistake.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A file as a JavaScript module.
#[derive(Debug)]
pub(crate) struct ModuleFile {
    /// As the user wrote it.
    pub(crate) source: String,
    /// As an engine runs it.
    pub(crate) code: String,
    pub(crate) positions: Positions,
    pub(crate) imports: Vec<Import>,
    /// What is imported of each module that is imported by names only.
    pub(crate) names: BTreeMap<String, BTreeSet<String>>,
    pub(crate) exports: bool,
}

/// Why a file is no module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModuleError {
    #[error("hm: cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("hm: {} has {bytes} bytes, more than a pipeline may import", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{message}")]
    Syntax {
        path: PathBuf,
        line: u32,
        column: u32,
        message: String,
    },
}

/// The modules read so far, by their files.
#[derive(Default, Debug)]
pub(crate) struct Files {
    read: RefCell<HashMap<PathBuf, Rc<ModuleFile>>>,
}

impl Files {
    /// The module in the file `path`, which is absolute.
    pub(crate) fn module(&self, path: &Path) -> Result<Rc<ModuleFile>, ModuleError> {
        if let Some(known) = self.known(path) {
            return Ok(known);
        }
        let module = Rc::new(read(path)?);
        self.read.borrow_mut().insert(path.to_path_buf(), Rc::clone(&module));
        Ok(module)
    }

    /// The module in that file, if it was read before.
    pub(crate) fn known(&self, path: &Path) -> Option<Rc<ModuleFile>> {
        self.read.borrow().get(path).cloned()
    }
}

impl Files {
    /// The file that imports `name` from a module whose specifier `is_it`, and the line: `first` or another, by its path.
    pub(crate) fn importing(&self, first: &Path, name: &str, is_it: impl Fn(&str) -> bool) -> Option<(PathBuf, u32)> {
        let read = self.read.borrow();
        let found = read.iter().filter_map(|(path, module)| {
            let names = module.names.iter().filter(|(specifier, _)| is_it(specifier));
            let imports = names.flat_map(|(_, names)| names).any(|known| known == name);
            Some((path.clone(), imports.then(|| module.line_importing(name))??))
        });
        found.min_by_key(|(path, _)| (path != first, path.clone()))
    }
}

impl ModuleFile {
    /// The line, from 1, of an import of `name`, as far as the text tells: an import has the name on its first line or below.
    fn line_importing(&self, name: &str) -> Option<u32> {
        let is_part = |char: char| char.is_alphanumeric() || char == '_' || char == '$';
        let has = |line: &str| line.split(|char| !is_part(char)).any(|word| word == name);
        self.line_where(|line| line.contains("import") && has(line))
            .or_else(|| self.line_where(has))
    }

    /// The line, from 1, on which `specifier` is imported.
    pub(crate) fn line_of_import(&self, specifier: &str) -> Option<u32> {
        self.imports
            .iter()
            .find(|import| import.specifier == specifier)
            .map(|import| import.line)
    }

    /// The line, from 1, of the first import of `name`, as far as the text tells.
    pub(crate) fn line_naming(&self, words: &[&str]) -> Option<u32> {
        self.line_where(|line| words.iter().all(|word| line.contains(word)))
    }

    /// The line, from 1, that throws `text`, which is no error, as far as the text tells: the one that has it, else the
    /// first one that throws something that is not made there.
    pub(crate) fn line_throwing(&self, text: &str) -> Option<u32> {
        let thrown = |line: &str| {
            let (before, thrown) = line.split_once("throw ")?;
            let is_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
            is_word.then(|| thrown.trim_start().to_owned())
        };
        self.line_where(|line| thrown(line).is_some_and(|thrown| !text.is_empty() && thrown.contains(text)))
            .or_else(|| self.line_where(|line| thrown(line).is_some_and(|thrown| !thrown.starts_with("new "))))
    }

    fn line_where(&self, is_it: impl Fn(&str) -> bool) -> Option<u32> {
        u32::try_from(self.source.lines().position(is_it)? + 1).ok()
    }
}

fn read(path: &Path) -> Result<ModuleFile, ModuleError> {
    let failed = |source| ModuleError::Read {
        path: path.to_path_buf(),
        source,
    };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(ModuleError::TooLarge {
            path: path.to_path_buf(),
            bytes,
        });
    }
    let source = fs::read_to_string(path).map_err(failed)?;
    if path.extension().is_some_and(|extension| extension == "json") {
        return json(path, source);
    }
    let syntax = |problem: strip::SyntaxProblem| ModuleError::Syntax {
        path: path.to_path_buf(),
        line: problem.line,
        column: problem.column,
        message: format!("SyntaxError: {}", problem.message),
    };
    let name = path.to_string_lossy();
    let stripped = strip::strip(&name, &source, Mapping::Kept).map_err(syntax)?;
    Ok(ModuleFile {
        source,
        code: stripped.code,
        positions: stripped.positions,
        imports: stripped.imports,
        names: stripped.names,
        exports: stripped.exports,
    })
}

/// A JSON file is a module whose default export is its value.
fn json(path: &Path, source: String) -> Result<ModuleFile, ModuleError> {
    if let Err(problem) = serde_json::from_str::<serde::de::IgnoredAny>(&source) {
        return Err(ModuleError::Syntax {
            path: path.to_path_buf(),
            line: u32::try_from(problem.line()).unwrap_or(1),
            column: u32::try_from(problem.column()).unwrap_or(1),
            message: format!("the file is no JSON: {problem}"),
        });
    }
    let literal = serde_json::Value::String(source.clone());
    Ok(ModuleFile {
        code: format!("export default JSON.parse({literal});\n"),
        source,
        positions: Positions::default(),
        imports: Vec::new(),
        names: BTreeMap::new(),
        exports: true,
    })
}
