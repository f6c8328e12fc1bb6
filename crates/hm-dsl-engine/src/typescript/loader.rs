//! Modules for the engine: those built in and the files of the repository.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{Ctx, Error, Exception, Module};

use crate::envelope::FileProblem;

use super::confine::Confinement;
use super::embedded;
use super::files::Files;
use super::narrow;
use super::problems::Failures;
use super::resolve::{Target, resolve};
use super::strip::{Mapping, strip};

/// What the engines of all files share.
#[derive(Debug)]
pub(crate) struct Modules {
    pub(crate) confinement: Confinement,
    pub(crate) files: Files,
    /// The code of modules built in, by their name.
    stripped: RefCell<HashMap<String, Rc<str>>>,
    /// Imports that failed.
    failures: RefCell<Failures>,
    /// Files that another file imports.
    imported: RefCell<HashSet<PathBuf>>,
}

/// Gives the engine its modules.
#[derive(Clone, Debug)]
pub(crate) struct ModuleLoader(pub(crate) Rc<Modules>);

impl Modules {
    pub(crate) fn new(confinement: Confinement) -> Self {
        Self {
            confinement,
            files: Files::default(),
            stripped: RefCell::default(),
            failures: RefCell::default(),
            imported: RefCell::default(),
        }
    }

    /// The import that failed with `message`, if that is what happened.
    pub(crate) fn failure(&self, message: &str) -> Option<FileProblem> {
        self.failures.borrow().find(message).cloned()
    }

    /// Whether a file that declares nothing is there for others, or has forgotten to export.
    pub(crate) fn is_library(&self, file: &Path) -> bool {
        self.imported.borrow().contains(file) || self.files.known(file).is_none_or(|module| module.exports)
    }

    /// The code of a module built in, stripped once.
    fn embedded(&self, name: &str, source: &str) -> Result<Rc<str>, String> {
        if let Some(code) = self.stripped.borrow().get(name) {
            return Ok(Rc::clone(code));
        }
        let stripped = strip(name, source, Mapping::Dropped)
            .map_err(|problem| format!("hm: {name}:{}: {}", problem.line, problem.message))?;
        let code: Rc<str> = stripped.code.into();
        self.stripped.borrow_mut().insert(name.to_owned(), Rc::clone(&code));
        Ok(code)
    }

    fn resolve(&self, importer: &str, specifier: &str) -> Result<String, FileProblem> {
        if embedded::is_embedded(importer) {
            let found = embedded::builtin(specifier).map(str::to_owned);
            return found
                .or_else(|| embedded::within_sdk(importer, specifier))
                .ok_or_else(|| {
                    self.failed(
                        importer,
                        specifier,
                        format!("hm: {importer} has no module {specifier:?}"),
                    )
                });
        }
        if importer.is_empty() {
            return Ok(specifier.to_owned());
        }
        let message = match resolve(&self.confinement, Path::new(importer), specifier) {
            Ok(Target::Embedded(name)) => {
                let known = self.files.known(Path::new(importer));
                let names = known.as_ref().and_then(|module| module.names.get(specifier));
                return Ok(names.and_then(|names| narrow::module(&name, names)).unwrap_or(name));
            }
            Ok(Target::File(path)) => match path.to_str() {
                Some(name) => {
                    self.imported.borrow_mut().insert(path.clone());
                    return Ok(name.to_owned());
                }
                None => format!(
                    "hm: cannot import {specifier:?}: its path {} is no UTF-8",
                    path.display()
                ),
            },
            Ok(Target::Foreign) => format!(
                "hm: cannot import {specifier:?}: hm runs pipelines itself, with @harmont/hm, node:fs, node:path and files of \
                 the repository\n  fix: set HM_TS_RUNTIME=node to run them in your Node, with its modules and packages"
            ),
            Err(problem) => problem.to_string(),
        };
        Err(self.failed(importer, specifier, message))
    }

    fn failed(&self, importer: &str, specifier: &str, message: String) -> FileProblem {
        let file = PathBuf::from(importer);
        let line = self
            .files
            .known(&file)
            .and_then(|module| module.line_of_import(specifier));
        FileProblem {
            file,
            line,
            pipeline: None,
            message,
            traceback: None,
        }
    }

    /// Throws what hindered an import, and remembers where it was.
    fn throw(&self, ctx: &Ctx<'_>, problem: FileProblem) -> Error {
        let message = self.failures.borrow_mut().add(problem);
        Exception::throw_message(ctx, &message)
    }
}

impl Resolver for ModuleLoader {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        self.0.resolve(base, name).map_err(|problem| self.0.throw(ctx, problem))
    }
}

impl Loader for ModuleLoader {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        if let Some(code) = narrow::code(name) {
            return Module::declare(ctx.clone(), name, code);
        }
        if let Some(source) = embedded::source(name) {
            return match self.0.embedded(name, source) {
                Ok(code) => Module::declare(ctx.clone(), name, &*code),
                Err(message) => Err(Exception::throw_message(ctx, &message)),
            };
        }
        let path = Path::new(name);
        let file = match self.0.files.module(path) {
            Ok(file) => file,
            Err(error) => return Err(self.0.throw(ctx, error.problem((path.to_path_buf(), None)))),
        };
        let module = Module::declare(ctx.clone(), name, file.code.as_str())?;
        let meta = module.meta()?;
        meta.set("url", format!("file://{name}"))?;
        meta.set("filename", name)?;
        meta.set("dirname", path.parent().and_then(Path::to_str).unwrap_or("/"))?;
        Ok(module)
    }
}
