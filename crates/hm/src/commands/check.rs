//! `hm check`: everything that is wrong with the pipelines of a repository, without running any.

use std::path::{Path, PathBuf};

use hm_dsl_engine::{FileProblem, PipelineDefinition};
use hm_pipeline_ir::{Pipeline, Problem};
use hm_render::visible;
use hm_store::image::{ImageLock, LockError};
use serde_json::{Value, json};

use crate::append::append;
use crate::cli::{CheckArgs, Format};
use crate::commands::source::{self, Source};
use crate::error::CliError;
use crate::exit::Exit;
use crate::images::lock_path;
use crate::output;
use crate::process::Process;
use crate::settings::Places;

/// Prints what is found, and fails for anything that would keep a pipeline from being run.
pub(crate) fn check(args: &CheckArgs, process: &Process) -> Result<Exit, CliError> {
    let places = Places::find(args.source.dir.as_deref(), process)?;
    let dir = source::find(&places.start)?.ok_or_else(|| source::no_folder(&places.start))?;
    let source = source::evaluate(&dir, process, &process.sdk_folder()?)?;
    source.require_any()?;
    let mut report = Report::of(&source);
    let lock = lock_path(dir.root());
    if let Err(error) = ImageLock::read(&lock) {
        report.findings.push(Finding::in_lock(lock, &error));
    }
    let exit = report.exit(args.strict);
    match args.format {
        Format::Human => output::result(&visible(&report.to_text(&process.cwd)))?,
        Format::Json => output::result(&format!("{}\n", report.to_json(exit)))?,
    }
    Ok(exit)
}

/// What was looked at and what was found.
struct Report {
    pipelines: Vec<Checked>,
    findings: Vec<Finding>,
}

/// A pipeline whose file could be read.
struct Checked {
    slug: String,
    file: PathBuf,
    /// Where the document is valid.
    steps: Option<usize>,
}

/// One thing that is wrong or odd.
struct Finding {
    kind: Kind,
    file: PathBuf,
    line: Option<u32>,
    pipeline: Option<String>,
    /// Place in the document, where it is about one.
    pointer: Option<String>,
    message: String,
    fixes: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A pipeline file can't be evaluated.
    Source,
    /// A document is refused.
    Rejected,
    /// A document holds something without effect.
    Warning,
}

impl Report {
    fn of(source: &Source) -> Self {
        let mut report = Self {
            pipelines: Vec::new(),
            findings: source.envelope.problems.iter().map(Finding::in_file).collect(),
        };
        for definition in &source.envelope.pipelines {
            report.add(definition);
        }
        report
    }

    fn add(&mut self, definition: &PipelineDefinition) {
        let (steps, kind, problems) = match Pipeline::parse(definition.definition().as_bytes()) {
            Ok(pipeline) => (
                Some(pipeline.graph().len()),
                Kind::Warning,
                pipeline.warnings().to_vec(),
            ),
            Err(refused) => (None, Kind::Rejected, refused.problems),
        };
        self.pipelines.push(Checked {
            slug: definition.slug.clone(),
            file: definition.file.clone(),
            steps,
        });
        let findings = problems
            .into_iter()
            .map(|problem| Finding::in_document(definition, kind, problem));
        self.findings.extend(findings);
    }

    fn count(&self, kind: Kind) -> usize {
        self.findings.iter().filter(|finding| finding.kind == kind).count()
    }

    /// A file that can't be read outranks a document that is refused.
    fn exit(&self, strict: bool) -> Exit {
        if self.count(Kind::Source) > 0 {
            Exit::Usage
        } else if self.count(Kind::Rejected) > 0 || (strict && self.count(Kind::Warning) > 0) {
            Exit::Rejected
        } else {
            Exit::Success
        }
    }

    fn to_text(&self, cwd: &Path) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            finding.write_text(cwd, &mut text);
        }
        for pipeline in &self.pipelines {
            if let Some(steps) = pipeline.steps {
                let file = shown(&pipeline.file, cwd);
                push_line(
                    &mut text,
                    &format!("{file}: {}: ok, {}", pipeline.slug, count(steps, "step")),
                );
            }
        }
        let problems = self.count(Kind::Source) + self.count(Kind::Rejected);
        let told = format!(
            "{}: {}, {}",
            count(self.pipelines.len(), "pipeline"),
            count(problems, "problem"),
            count(self.count(Kind::Warning), "warning"),
        );
        push_line(&mut text, &told);
        text
    }

    fn to_json(&self, exit: Exit) -> Value {
        let pipelines: Vec<Value> = self.pipelines.iter().map(Checked::to_json).collect();
        let findings: Vec<Value> = self.findings.iter().map(Finding::to_json).collect();
        json!({
            "schema_version": "1",
            "exit_code": exit.code(),
            "pipelines": pipelines,
            "findings": findings,
        })
    }
}

impl Checked {
    fn to_json(&self) -> Value {
        json!({
            "slug": self.slug,
            "file": self.file.display().to_string(),
            "valid": self.steps.is_some(),
            "steps": self.steps,
        })
    }
}

impl Finding {
    /// The lines of a message that begin with `fix:` are its fixes.
    fn in_file(problem: &FileProblem) -> Self {
        let is_fix = |line: &&str| line.trim_start().starts_with("fix:");
        let (fixes, message): (Vec<&str>, Vec<&str>) = problem.message.lines().partition(is_fix);
        let fix = |line: &str| line.trim_start().trim_start_matches("fix:").trim().to_owned();
        Self {
            kind: Kind::Source,
            file: problem.file.clone(),
            line: problem.line,
            pipeline: problem.pipeline.clone(),
            pointer: None,
            message: message.join("\n"),
            fixes: fixes.into_iter().map(fix).collect(),
        }
    }

    fn in_lock(file: PathBuf, error: &LockError) -> Self {
        let (line, cause) = match error {
            LockError::Json { source, .. } => (u32::try_from(source.line()).ok(), format!(": {source}")),
            LockError::File(_) | LockError::Version { .. } | LockError::Name { .. } => (None, String::new()),
        };
        Self {
            kind: Kind::Source,
            file,
            line: line.filter(|line| *line > 0),
            pipeline: None,
            pointer: None,
            message: format!("{error}{cause}"),
            fixes: vec!["mend it, or write it anew: rm .hm/images.lock && hm image lock".to_owned()],
        }
    }

    fn in_document(definition: &PipelineDefinition, kind: Kind, problem: Problem) -> Self {
        let Problem {
            code: _,
            pointer,
            message,
            hint,
        } = problem;
        let place = definition.origins.of(&pointer);
        Self {
            kind,
            file: place.map_or_else(|| definition.file.clone(), |place| place.file.clone()),
            line: place.map(|place| place.line),
            pipeline: Some(definition.slug.clone()),
            pointer: Some(pointer),
            message,
            fixes: if hint.is_empty() { Vec::new() } else { vec![hint] },
        }
    }

    fn write_text(&self, cwd: &Path, text: &mut String) {
        let mut line = shown(&self.file, cwd);
        if let Some(number) = self.line {
            append(&mut line, format_args!(":{number}"));
        }
        let severity = match self.kind {
            Kind::Source | Kind::Rejected => "error",
            Kind::Warning => "warning",
        };
        append(&mut line, format_args!(": {severity}: "));
        if let Some(pipeline) = &self.pipeline {
            append(&mut line, format_args!("{pipeline}: "));
        }
        if let Some(pointer) = self.pointer.as_ref().filter(|pointer| !pointer.is_empty()) {
            append(&mut line, format_args!("{pointer}: "));
        }
        let mut message = self.message.lines();
        push_line(text, &format!("{line}{}", message.next().unwrap_or_default()));
        message.for_each(|more| push_line(text, &format!("  {}", more.trim_start())));
        for fix in &self.fixes {
            push_line(text, &format!("  fix: {fix}"));
        }
    }

    fn to_json(&self) -> Value {
        let kind = match self.kind {
            Kind::Source => "source",
            Kind::Rejected => "rejected",
            Kind::Warning => "warning",
        };
        json!({
            "kind": kind,
            "file": self.file.display().to_string(),
            "line": self.line,
            "pipeline": self.pipeline,
            "pointer": self.pointer,
            "message": self.message,
            "fixes": self.fixes,
        })
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The path as seen from the current folder, where it lies below it.
fn shown(file: &Path, cwd: &Path) -> String {
    let real = cwd.canonicalize();
    let below = file.strip_prefix(real.as_deref().unwrap_or(cwd));
    below.unwrap_or(file).display().to_string()
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
