//! The user's Node, which gets modules whose types are stripped already.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::envelope::FileProblem;
use crate::error::DslError;
use crate::evaluate::{MOST_LATE, not_evaluated, too_long};
use crate::interpreter;
use crate::process::{self, Ended, Patience};

use super::confine::Confinement;
use super::embedded;
use super::evaluate::{TypeScriptSettings, exports_nothing};
use super::files::Files;
use super::limits::TypeScriptLimits;
use super::problems::{About, Failures, Thrown};
use super::report::FileReport;
use super::resolve::{ResolveError, Target, resolve};
use super::strip::{Mapping, strip};

/// What Node may need until it comes to the first file.
const START: Duration = Duration::from_secs(30);
const PROGRAM: &str = "host:node_run.mjs";
const HOOKS: &str = "host:node_hooks.mjs";

/// What Node is told; `typescript/node_run.mjs` reads it.
#[derive(Serialize)]
struct Input<'a> {
    files: &'a [PathBuf],
    collector: &'static str,
    modules: BTreeMap<String, NodeModule>,
}

/// A module by its name: `sdk:` and a file of the SDK, or an absolute path.
#[derive(Default, Serialize)]
struct NodeModule {
    source: String,
    /// Why it can't be loaded, if it can't.
    failure: Option<String>,
    /// The names of the modules that specifiers in it mean; Node resolves the others.
    imports: BTreeMap<String, String>,
}

/// What Node says of one file, on a line of its own.
#[derive(Deserialize)]
struct NodeReport {
    pipelines: Vec<String>,
    places: Vec<String>,
    failures: Vec<NodeFailure>,
}

#[derive(Deserialize)]
struct NodeFailure {
    slug: Option<String>,
    name: Option<String>,
    message: String,
    stack: String,
}

/// The modules that files lead to, and the imports that lead nowhere.
struct Graph {
    confinement: Confinement,
    files: Files,
    modules: BTreeMap<String, NodeModule>,
    failures: Failures,
}

/// Evaluates the files in Node; a report for each, in their order.
pub(super) fn evaluate(
    files: &[PathBuf],
    settings: &TypeScriptSettings<'_>,
    begun: &dyn Fn(&Path),
    output: &mut dyn Write,
) -> Result<Vec<FileReport>, DslError> {
    let node = interpreter::in_path(settings.env, "node").ok_or(DslError::NoNode)?;
    let mut graph = Graph::new(settings.root);
    for file in files {
        graph.add(file);
    }
    let folder = tempfile::tempdir().map_err(DslError::NodeFiles)?;
    let mut reports = Vec::with_capacity(files.len());
    let mut modules = std::mem::take(&mut graph.modules);
    let mut patience = MOST_LATE;
    while let Some(rest) = files.get(reports.len()..).filter(|rest| !rest.is_empty()) {
        let input = Input {
            files: rest,
            collector: embedded::COLLECTOR,
            modules,
        };
        let program = write(folder.path(), &input).map_err(DslError::NodeFiles)?;
        modules = input.modules;
        let mut turns = rest.iter();
        let mut next = || turns.next().map_or((), |file| begun(file));
        let ended = run(&node, &program, settings, &mut next, output)?;
        let told = reports.len();
        for (file, line) in rest.iter().zip(
            ended
                .report
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty()),
        ) {
            match serde_json::from_slice::<NodeReport>(line) {
                Ok(report) => reports.push(graph.report(file, report)),
                Err(_) => break, // it ended while it wrote
            }
        }
        if let Some(file) = rest.get(reports.len() - told..).and_then(<[_]>::first) {
            reports.push(FileReport::failed(file, broken_off(&ended, settings.limits)));
        }
        patience -= usize::from(ended.late);
        if patience == 0 {
            let rest = files.get(reports.len()..).unwrap_or_default();
            reports.extend(rest.iter().map(|file| FileReport::failed(file, not_evaluated())));
        }
    }
    Ok(reports)
}

fn broken_off(ended: &Ended, limits: TypeScriptLimits) -> String {
    if ended.late {
        return too_long(limits.time);
    }
    format!(
        "hm: Node ended while it evaluated the file ({})\n  fix: throw an error that says why, instead of ending the process",
        ended.status
    )
}

fn write(folder: &Path, input: &Input<'_>) -> std::io::Result<PathBuf> {
    for (name, source) in [("run.mjs", PROGRAM), ("hooks.mjs", HOOKS)] {
        fs::write(folder.join(name), embedded::source(source).unwrap_or_default())?;
    }
    fs::write(folder.join("input.json"), serde_json::to_vec(input)?)?;
    Ok(folder.join("run.mjs"))
}

/// `next` hears when the turn of another file comes: with the line that Node is ready, and with the report of the one before it.
fn run(
    node: &Path,
    program: &Path,
    settings: &TypeScriptSettings<'_>,
    next: &mut dyn FnMut(),
    output: &mut dyn Write,
) -> Result<Ended, DslError> {
    let memory = settings.limits.memory / (1024 * 1024);
    let arguments: [OsString; 2] = [format!("--max-old-space-size={memory}").into(), program.into()];
    let child =
        process::start(node, &arguments, settings.root, settings.env).map_err(|source| DslError::NodeStart {
            node: node.to_path_buf(),
            source,
        })?;
    let patience = Patience {
        start: START,
        line: settings.limits.time,
    };
    process::wait(child, patience, &mut |_| next(), output).map_err(DslError::NodeConnection)
}

impl Graph {
    fn new(root: &Path) -> Self {
        let mut graph = Self {
            confinement: Confinement::new(root.to_path_buf()),
            files: Files::default(),
            modules: BTreeMap::new(),
            failures: Failures::default(),
        };
        for (name, source) in embedded::sdk() {
            let Ok(stripped) = strip(name, source, Mapping::Dropped) else {
                continue; // a test holds the sources against this
            };
            let imports = stripped.imports.into_iter().filter_map(|import| {
                let target = embedded::within_sdk(name, &import.specifier)?;
                Some((import.specifier, target))
            });
            let module = NodeModule {
                source: stripped.code,
                imports: imports.collect(),
                failure: None,
            };
            graph.modules.insert(name.to_owned(), module);
        }
        graph
    }

    /// Adds a file with everything that it leads to.
    fn add(&mut self, file: &Path) {
        let mut pending = vec![(file.to_path_buf(), (file.to_path_buf(), None))];
        while let Some((path, importer)) = pending.pop() {
            let Some(name) = path.to_str().map(str::to_owned) else {
                continue;
            };
            if self.modules.contains_key(&name) {
                continue;
            }
            let module = match self.files.module(&path) {
                Ok(module) => module,
                Err(error) => {
                    self.insert_failure(name, error.problem(importer));
                    continue;
                }
            };
            let mut imports = BTreeMap::new();
            for import in module.imports.iter().filter(|import| !import.types_only) {
                let target = match resolve(&self.confinement, &path, &import.specifier) {
                    Ok(Target::Embedded(name)) if name.starts_with(embedded::SDK) => name,
                    Ok(Target::File(found)) => {
                        let Some(name) = found.to_str().map(str::to_owned) else {
                            continue;
                        };
                        pending.push((found, (path.clone(), Some(import.line))));
                        name
                    }
                    Err(error @ ResolveError::Missing { .. }) => self.missing(&path, import.line, &error),
                    // Node knows more modules, may leave the repository and says itself what it can't read.
                    Ok(Target::Embedded(_) | Target::Foreign)
                    | Err(ResolveError::Outside { .. } | ResolveError::Kind { .. }) => continue,
                };
                imports.insert(import.specifier.clone(), target);
            }
            let module = NodeModule {
                source: module.code.clone(),
                imports,
                failure: None,
            };
            self.modules.insert(name, module);
        }
    }

    /// The name of a module that fails as the import does.
    fn missing(&mut self, file: &Path, line: u32, error: &ResolveError) -> String {
        let problem = FileProblem {
            file: file.to_path_buf(),
            line: Some(line),
            pipeline: None,
            message: error.to_string(),
            traceback: None,
        };
        let name = format!("{}missing-{}", embedded::SDK, self.modules.len());
        self.insert_failure(name.clone(), problem);
        name
    }

    fn insert_failure(&mut self, name: String, problem: FileProblem) {
        let module = NodeModule {
            failure: Some(self.failures.add(problem)),
            ..NodeModule::default()
        };
        self.modules.insert(name, module);
    }

    fn report(&self, file: &Path, told: NodeReport) -> FileReport {
        let mut report = FileReport::new(file);
        for (entry, places) in told.pipelines.iter().zip(&told.places) {
            report.add(entry, places, self.confinement.root(), &self.files);
        }
        for failure in told.failures {
            report.problems.push(self.problem(file, failure));
        }
        let is_empty = report.pipelines.is_empty() && report.problems.is_empty();
        if is_empty && self.files.known(file).is_some_and(|module| !module.exports) {
            return exports_nothing(file);
        }
        report
    }

    fn problem(&self, file: &Path, failure: NodeFailure) -> FileProblem {
        if let Some(problem) = self.failures.find(&failure.message) {
            return problem.clone();
        }
        let thrown = Thrown {
            name: failure.name,
            message: failure.message,
            stack: failure.stack,
        };
        let about = About {
            file,
            slug: failure.slug.as_deref(),
        };
        thrown.problem(about, self.confinement.root(), &self.files)
    }
}
