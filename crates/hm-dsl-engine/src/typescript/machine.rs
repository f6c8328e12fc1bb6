//! The engine inside this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use rquickjs::{
    Array, Coerced, Context, Ctx, Error, FromJs, Function, Module, Object, Runtime, Value, promise::MaybePromise,
};

use crate::envelope::FileProblem;
use crate::evaluate::too_long;

use super::budget::{Budget, Spent};
use super::embedded::COLLECTOR;
use super::limits::TypeScriptLimits;
use super::loader::{ModuleLoader, Modules};
use super::natives::{self, Print};
use super::problems::{About, Thrown};
use super::rejections::Rejections;
use super::report::FileReport;

/// Bytes of the native stack that JavaScript may use; the thread's own must be larger.
const JAVASCRIPT_STACK: usize = 4 * 1024 * 1024;
/// Bytes beyond the budget that the engine has for the error which tells that it is used up.
const HEADROOM: usize = 8 * 1024 * 1024;
/// Bytes of new objects after which garbage is looked for. Pipelines are short, so most never get there.
const GARBAGE_THRESHOLD: usize = 32 * 1024 * 1024;

/// One engine, for one pipeline file: what a file leaves in it is neither seen by another one nor charged to it.
pub(crate) struct Machine {
    // Holds values of the engine, so it goes before it.
    rejections: Rejections,
    context: Context,
    runtime: Runtime,
    modules: Rc<Modules>,
    budget: Rc<Budget>,
    limits: TypeScriptLimits,
}

impl Machine {
    pub(crate) fn new(
        modules: Rc<Modules>,
        env: &BTreeMap<String, String>,
        limits: TypeScriptLimits,
        print: Print,
    ) -> rquickjs::Result<Self> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(limits.memory.saturating_add(HEADROOM));
        runtime.set_max_stack_size(JAVASCRIPT_STACK);
        runtime.set_gc_threshold(GARBAGE_THRESHOLD.min(limits.memory / 4));
        runtime.set_loader(ModuleLoader(Rc::clone(&modules)), ModuleLoader(Rc::clone(&modules)));
        let budget = Rc::new(Budget::new(limits));
        runtime.set_interrupt_handler(Some(budget.handler()));
        let rejections = Rejections::of(&runtime);
        let context = Context::full(&runtime)?;
        context.with(|ctx| natives::install(&ctx, &modules.confinement, env, print, limits.memory))?;
        Ok(Self {
            rejections,
            context,
            runtime,
            modules,
            budget,
            limits,
        })
    }

    /// Evaluates one pipeline file with what it imports; its report, and whether it used up its time. `going` is called
    /// whenever a part of it begins that has its own time.
    pub(crate) fn evaluate(&self, file: &Path, going: &dyn Fn()) -> (FileReport, bool) {
        let mut report = FileReport::new(file);
        let mut late = false;
        if let Err(error) = self.modules.files.module(file) {
            report.problems.push(error.problem((file.to_path_buf(), None)));
            return (report, late);
        }
        self.context.with(|ctx| {
            if let Err(error) = self.collect(&ctx, file, going, (&mut report, &mut late)) {
                let about = About { file, slug: None };
                report.problems.push(self.failed(&ctx, &error, about));
                late |= self.budget.spent() == Some(Spent::Time);
            }
            self.rejections.take(&ctx);
        });
        (report, late)
    }

    fn collect(
        &self,
        ctx: &Ctx<'_>,
        file: &Path,
        going: &dyn Fn(),
        (report, late): (&mut FileReport, &mut bool),
    ) -> rquickjs::Result<()> {
        self.budget.start();
        // First, because it has the places of steps noted.
        let host: Object<'_> = import(ctx, COLLECTOR)?;
        let exports: Object<'_> = import(ctx, &file.to_string_lossy())?;
        let definitions: Array<'_> = host.get::<_, Function<'_>>("definitions")?.call((exports,))?;
        let seen: Object<'_> = ctx.eval("new Set()")?;
        for definition in definitions.iter::<Value<'_>>() {
            let definition = definition?;
            going();
            self.budget.start();
            let slug: Option<String> = host.get::<_, Function<'_>>("slugOf")?.call((definition.clone(),))?;
            match pipeline(&host, definition, &seen) {
                Ok((entry, places)) => {
                    report.add(&entry, &places, self.modules.confinement.root(), &self.modules.files);
                }
                Err(error) => {
                    let about = About {
                        file,
                        slug: slug.as_deref(),
                    };
                    report.problems.push(self.failed(ctx, &error, about));
                    *late |= self.budget.spent() == Some(Spent::Time);
                }
            }
        }
        // What the file has begun and not waited for goes on to its end.
        going();
        self.budget.start();
        while self.budget.spent().is_none() && ctx.execute_pending_job() {}
        if self.budget.spent().is_some() {
            return Err(Error::Exception);
        }
        for reason in self.rejections.take(ctx) {
            let about = About { file, slug: None };
            report.problems.push(self.problem(&thrown(&reason), about));
        }
        Ok(())
    }

    fn failed(&self, ctx: &Ctx<'_>, error: &Error, about: About<'_>) -> FileProblem {
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
        let message = match self.budget.spent() {
            Some(Spent::Time) => too_long(self.limits.time),
            Some(Spent::Memory) => self.too_large(),
            // The engine may have had too little left for an error that says so.
            None if thrown.message.contains("out of memory") || self.budget.is_memory_short() => self.too_large(),
            None => return self.problem(&thrown, about),
        };
        let thrown = Thrown {
            name: None,
            message,
            stack: thrown.stack,
        };
        thrown.problem(about, self.modules.confinement.root(), &self.modules.files)
    }

    fn too_large(&self) -> String {
        format!(
            "hm: the file uses more memory than {} MiB\n  fix: look for a list that grows without end",
            self.limits.memory / (1024 * 1024)
        )
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

/// The entry of a definition and its places, as JSON. `seen` has the slugs that the file's other ones have.
fn pipeline<'js>(host: &Object<'js>, definition: Value<'js>, seen: &Object<'js>) -> rquickjs::Result<(String, String)> {
    let written: Object<'_> = host.get::<_, Function<'_>>("head")?.call((definition.clone(),))?;
    let slug: String = written.get("slug")?;
    let made: MaybePromise<'_> = host
        .get::<_, Function<'_>>("make")?
        .call((definition, slug, seen.clone()))?;
    let made: Value<'_> = made.finish()?;
    let finished: Object<'_> = host.get::<_, Function<'_>>("finish")?.call((written, made))?;
    Ok((finished.get("entry")?, finished.get("places")?))
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
