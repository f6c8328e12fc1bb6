//! The engine inside this process.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use rquickjs::{Array, Coerced, Context, Ctx, Error, FromJs, Function, Module, Object, Promise, Runtime, Value};

use crate::envelope::FileProblem;
use crate::evaluate::too_long;

use super::confine::Confinement;
use super::embedded::COLLECTOR;
use super::limits::TypeScriptLimits;
use super::loader::{ModuleLoader, Modules};
use super::natives::{self, Print};
use super::problems::{About, Thrown};
use super::rejections::Rejections;
use super::report::FileReport;

/// Bytes of the native stack that JavaScript may use; the thread's own must be larger.
const JAVASCRIPT_STACK: usize = 4 * 1024 * 1024;
/// Bytes of new objects after which garbage is looked for. Pipelines are short, so most never get there.
const GARBAGE_THRESHOLD: usize = 32 * 1024 * 1024;

/// One engine with the modules it has loaded.
pub(crate) struct Machine {
    // Holds values of the engine, so it goes before it.
    rejections: Rejections,
    context: Context,
    runtime: Runtime,
    modules: Rc<Modules>,
    clock: Rc<Clock>,
    limits: TypeScriptLimits,
}

/// When the current file has to end, and whether it was stopped.
#[derive(Default, Debug)]
struct Clock {
    deadline: Cell<Option<Instant>>,
    expired: Cell<bool>,
}

/// Whether an engine can evaluate another file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Health {
    Good,
    /// What the file left in the engine would be charged to the next one.
    OutOfMemory,
    OutOfTime,
}

impl Machine {
    pub(crate) fn new(
        confinement: &Confinement,
        env: &BTreeMap<String, String>,
        limits: TypeScriptLimits,
        print: Print,
    ) -> rquickjs::Result<Self> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(limits.memory);
        runtime.set_max_stack_size(JAVASCRIPT_STACK);
        runtime.set_gc_threshold(GARBAGE_THRESHOLD.min(limits.memory / 4));
        let modules = Rc::new(Modules::new(confinement.clone()));
        runtime.set_loader(ModuleLoader(Rc::clone(&modules)), ModuleLoader(Rc::clone(&modules)));
        let clock = Rc::new(Clock::default());
        runtime.set_interrupt_handler(Some(clock.handler()));
        let rejections = Rejections::of(&runtime);
        let context = Context::full(&runtime)?;
        context.with(|ctx| natives::install(&ctx, confinement, env, print, limits.memory))?;
        Ok(Self {
            rejections,
            context,
            runtime,
            modules,
            clock,
            limits,
        })
    }

    /// Evaluates one pipeline file with what it imports.
    pub(crate) fn evaluate(&self, file: &Path) -> (FileReport, Health) {
        self.clock.start(self.limits);
        let mut report = FileReport::new(file);
        let mut health = Health::Good;
        if let Err(error) = self.modules.files.module(file) {
            report.problems.push(error.problem((file.to_path_buf(), None)));
            return (report, health);
        }
        self.context.with(|ctx| {
            if let Err(error) = self.collect(&ctx, file, &mut report) {
                let about = About { file, slug: None };
                let (problem, found) = self.failed(&ctx, &error, about);
                report.problems.push(problem);
                health = found;
            }
            self.rejections.take(&ctx);
        });
        self.clock.deadline.set(None);
        (report, health)
    }

    /// Whether a file that declares nothing is there for others, or has forgotten to export.
    pub(crate) fn is_library(&self, file: &Path) -> bool {
        self.modules.is_imported(file) || self.modules.files.known(file).is_none_or(|module| module.exports)
    }

    fn collect(&self, ctx: &Ctx<'_>, file: &Path, report: &mut FileReport) -> rquickjs::Result<()> {
        // First, because it has the places of steps noted.
        let collector: Object<'_> = import(ctx, COLLECTOR)?;
        let exports: Object<'_> = import(ctx, &file.to_string_lossy())?;
        let collect: Function<'_> = collector.get("collect")?;
        let collected: Promise<'_> = collect.call((exports,))?;
        let collected: Object<'_> = collected.finish()?;
        let pipelines: Vec<String> = collected.get("pipelines")?;
        let places: Vec<String> = collected.get("places")?;
        for (entry, places) in pipelines.iter().zip(&places) {
            report.add(entry, places, self.modules.confinement.root(), &self.modules.files);
        }
        for failure in collected.get::<_, Array<'_>>("failures")?.iter::<Object<'_>>() {
            let failure = failure?;
            let slug: Option<String> = failure.get("slug")?;
            let about = About {
                file,
                slug: slug.as_deref(),
            };
            let thrown = thrown(&failure.get("error")?);
            report.problems.push(self.problem(&thrown, about));
        }
        // What the file has begun and not waited for goes on to its end.
        while !self.clock.expired.get() && ctx.execute_pending_job() {}
        if self.clock.expired.get() {
            return Err(Error::Exception);
        }
        for reason in self.rejections.take(ctx) {
            let about = About { file, slug: None };
            report.problems.push(self.problem(&thrown(&reason), about));
        }
        Ok(())
    }

    fn failed(&self, ctx: &Ctx<'_>, error: &Error, about: About<'_>) -> (FileProblem, Health) {
        let thrown = if let Error::Exception = error {
            thrown(&ctx.catch())
        } else {
            let message = if let Error::WouldBlock = error {
                "hm: the file waits for a promise that nothing will settle\n  \
                 fix: there are no timers and no network here; set HM_TS_RUNTIME=node for them"
                    .to_owned()
            } else {
                format!("hm: the evaluation failed: {error}")
            };
            Thrown {
                message,
                ..Thrown::default()
            }
        };
        if self.clock.expired.get() {
            let message = too_long(self.limits.time);
            return (self.spent(&thrown, message, about), Health::OutOfTime);
        }
        if thrown.message.contains("out of memory") {
            let message = format!(
                "hm: the file uses more memory than {} MiB\n  fix: look for a list that grows without end",
                self.limits.memory / (1024 * 1024)
            );
            return (self.spent(&thrown, message, about), Health::OutOfMemory);
        }
        (self.problem(&thrown, about), Health::Good)
    }

    fn problem(&self, thrown: &Thrown, about: About<'_>) -> FileProblem {
        if let Some(failure) = self.modules.failure(&thrown.message) {
            return FileProblem {
                pipeline: about.slug.map(str::to_owned),
                ..failure
            };
        }
        thrown.problem(about, self.modules.confinement.root(), &self.modules.files)
    }

    fn spent(&self, thrown: &Thrown, message: String, about: About<'_>) -> FileProblem {
        let thrown = Thrown {
            name: None,
            message,
            stack: thrown.stack.clone(),
        };
        thrown.problem(about, self.modules.confinement.root(), &self.modules.files)
    }
}

impl Clock {
    fn start(&self, limits: TypeScriptLimits) {
        self.expired.set(false);
        self.deadline.set(Instant::now().checked_add(limits.time));
    }

    /// Asked by the engine now and then; true stops it.
    fn handler(self: &Rc<Self>) -> Box<dyn FnMut() -> bool> {
        let clock = Rc::clone(self);
        Box::new(move || {
            let late = clock.deadline.get().is_some_and(|deadline| Instant::now() >= deadline);
            if late {
                clock.expired.set(true);
            }
            late
        })
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("memory", &self.runtime.memory_usage().memory_used_size)
            .field("modules", &self.modules)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The namespace of a module, once its evaluation has ended.
fn import<'js, T: FromJs<'js>>(ctx: &Ctx<'js>, name: &str) -> rquickjs::Result<T> {
    Module::import(ctx, name)?.finish()
}

/// What was thrown. Reading it may run the file's own code, and fail.
fn thrown(value: &Value<'_>) -> Thrown {
    let Some(object) = value.as_object().filter(|object| object.is_error()) else {
        let shown = value
            .get::<Coerced<String>>()
            .map_or_else(|_| "something".to_owned(), |text| text.0);
        return Thrown {
            message: shown,
            ..Thrown::default()
        };
    };
    let member = |name: &str| {
        let value = object.get::<_, Option<Coerced<String>>>(name);
        value.ok().flatten().map(|text| text.0)
    };
    let name = member("name").unwrap_or_else(|| "Error".to_owned());
    let mut message = member("message").unwrap_or_default();
    if name == "ReferenceError" && names_what_node_has(&message) {
        message.push_str("\n  fix: set HM_TS_RUNTIME=node to run pipelines in your Node, which has it");
    }
    Thrown {
        name: Some(name),
        message,
        stack: member("stack").unwrap_or_default(),
    }
}

/// Globals of Node that the engine has not.
const OF_NODE: &[&str] = &[
    "AbortController",
    "Buffer",
    "Headers",
    "MessageChannel",
    "Request",
    "Response",
    "TextDecoder",
    "TextEncoder",
    "URL",
    "URLSearchParams",
    "WebSocket",
    "clearImmediate",
    "clearInterval",
    "clearTimeout",
    "crypto",
    "fetch",
    "global",
    "setImmediate",
    "setInterval",
    "setTimeout",
];

/// Whether an error is about one of them: "setTimeout is not defined".
fn names_what_node_has(message: &str) -> bool {
    let name = message.strip_suffix(" is not defined").unwrap_or_default();
    OF_NODE.contains(&name.trim_matches('\''))
}
