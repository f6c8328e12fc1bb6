//! The log: one line for each thing that happens, each with the step's key.

use std::fmt::Display;
use std::io::{self, Write};

use hm_plugin_protocol::{BuildEvent, BuildRef, BuildView, Sequenced, StepId, StepPhase, StepStatus, StepView, Stream};

use super::duration::Millis;
use super::paint::Paint;
use super::summary::write_summary;
use super::tails::Tails;
use super::text::{one_line, output_line};
use super::words::{skip_reason, step_status};
use crate::renderer::Renderer;

/// How the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HumanSettings {
    /// Whether to use colours, and to let those of commands through.
    pub color: bool,
    /// Whether to show the logs of steps whose earlier result is used.
    pub cached_logs: bool,
}

/// Writes a log for people: a line for each start, output line and end of a step, and a summary at the end.
///
/// It holds the last few lines of each running or failed step; its memory does not grow with the output.
#[derive(Debug)]
pub struct HumanRenderer {
    paint: Paint,
    cached_logs: bool,
    view: BuildView,
    tails: Tails,
    /// Key of the first step whose failure counts.
    first_failure: Option<String>,
    /// What there is to write about one event.
    pending: Vec<u8>,
}

impl HumanRenderer {
    /// A renderer before the first event.
    pub fn new(settings: HumanSettings) -> Self {
        let HumanSettings { color, cached_logs } = settings;
        Self {
            paint: Paint { color },
            cached_logs,
            view: BuildView::new(),
            tails: Tails::default(),
            first_failure: None,
            pending: Vec::new(),
        }
    }
}

impl Renderer for HumanRenderer {
    fn render(&mut self, event: &Sequenced, out: &mut dyn Write) -> io::Result<()> {
        self.view.apply(&event.event);
        let mut pending = std::mem::take(&mut self.pending);
        pending.clear();
        let written = self
            .describe(&event.event, &mut pending)
            .and_then(|()| out.write_all(&pending));
        self.pending = pending;
        written
    }
}

impl HumanRenderer {
    fn describe(&mut self, event: &BuildEvent, out: &mut Vec<u8>) -> io::Result<()> {
        match event {
            BuildEvent::BuildStart { .. } | BuildEvent::StepQueued { .. } => Ok(()),
            BuildEvent::BuildAccepted { build, watch_url } => self.accepted(build, watch_url, out),
            BuildEvent::StepStart {
                step_id,
                runner: _,
                image,
            } => self.started(*step_id, image.as_deref(), out),
            BuildEvent::StepLog {
                step_id,
                stream,
                line,
                ts: _,
            } => self.output(*step_id, *stream, line, out),
            BuildEvent::StepSkipped { step_id, .. } | BuildEvent::StepEnd { step_id, .. } => self.ended(*step_id, out),
            BuildEvent::ChainFailed { failed_step_key, .. } => {
                self.first_failure.get_or_insert_with(|| failed_step_key.clone());
                Ok(())
            }
            // The end of the step says it again.
            BuildEvent::ImagePull { .. } | BuildEvent::StepCacheHit { .. } | BuildEvent::StepUsage { .. } => Ok(()),
            BuildEvent::BuildEnd { .. } => write_summary(&self.view, &self.tails, self.paint, out),
        }
    }

    fn accepted(&self, build: &BuildRef, watch_url: &str, out: &mut Vec<u8>) -> io::Result<()> {
        let BuildRef {
            run_id: _,
            number,
            org: _,
            pipeline,
        } = build;
        write!(out, "{}", self.paint.bold(format_args!("build {number}")))?;
        if let Some(pipeline) = pipeline {
            write!(out, " of {}", one_line(pipeline))?;
        }
        if let Some(plan) = self.view.plan() {
            let plural = if plan.step_count == 1 { "" } else { "s" };
            write!(out, ": {} step{plural}", plan.step_count)?;
        }
        if !watch_url.is_empty() {
            write!(out, ", {}", one_line(watch_url))?;
        }
        writeln!(out)
    }

    fn started(&self, id: StepId, image: Option<&str>, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(step) = self.view.step(id) else { return Ok(()) };
        let name = one_line(&step.display_name);
        write!(out, "{} ▶ {}", self.prefix(step), self.paint.bold(&name))?;
        match image {
            Some(image) => writeln!(out, " {}", self.paint.dim(format_args!("on {}", one_line(image)))),
            None => writeln!(out),
        }
    }

    fn output(&mut self, id: StepId, stream: Stream, line: &str, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(step) = self.view.step(id) else { return Ok(()) };
        let replayed = step.cache_tag.is_some();
        let line = output_line(line, self.paint.color);
        if !replayed || self.cached_logs || stream == Stream::Note {
            match stream {
                Stream::Stdout | Stream::Stderr if replayed => {
                    writeln!(out, "{} {} {line}", self.prefix(step), self.paint.dim("(cached)"))?;
                }
                Stream::Stdout | Stream::Stderr => writeln!(out, "{} {line}", self.prefix(step))?,
                Stream::Note => writeln!(out, "{} {} {line}", self.prefix(step), self.paint.dim("note:"))?,
            }
        }
        if !replayed {
            self.tails.push(id, &line);
        }
        Ok(())
    }

    fn ended(&mut self, id: StepId, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(step) = self.view.step(id) else { return Ok(()) };
        let (prefix, paint) = (self.prefix(step), self.paint);
        let mut keep_tail = false;
        match &step.phase {
            StepPhase::Queued | StepPhase::Running => {}
            StepPhase::Skipped { reason } => {
                let why = skip_reason(reason);
                writeln!(out, "{prefix} {}", paint.dim(format_args!("○ skipped: {why}")))?;
            }
            StepPhase::Ended {
                status,
                exit_code,
                duration_ms,
                snapshot: _,
                causes,
                fixes,
            } => {
                let (word, took) = (step_status(*status), Millis(*duration_ms));
                match status {
                    StepStatus::Passed | StepStatus::Flaky => {
                        writeln!(out, "{prefix} {}", paint.good(format_args!("✔ {word} in {took}")))?;
                    }
                    StepStatus::Cached => writeln!(out, "{prefix} {}", paint.good(format_args!("✔ {word}")))?,
                    StepStatus::Canceled => {
                        let why = self.why_canceled(*exit_code);
                        writeln!(
                            out,
                            "{prefix} {}",
                            paint.dim(format_args!("■ {word} after {took}: {why}"))
                        )?;
                    }
                    StepStatus::Failed => {
                        let end = format_args!("✘ {word} with exit code {exit_code} after {took}");
                        writeln!(out, "{prefix} {}", paint.bad(end))?;
                        write_causes(causes, &prefix, paint, out)?;
                        keep_tail = true;
                    }
                    StepStatus::TimedOut | StepStatus::Skipped => {
                        writeln!(out, "{prefix} {}", paint.bad(format_args!("✘ {word} after {took}")))?;
                        keep_tail = true;
                    }
                    StepStatus::Errored => {
                        writeln!(out, "{prefix} {}", paint.bad(format_args!("✘ {word}")))?;
                        write_causes(causes, &prefix, paint, out)?;
                        for fix in fixes {
                            writeln!(out, "{prefix} {} {}", paint.good("fix:"), one_line(fix))?;
                        }
                        keep_tail = true;
                    }
                }
            }
        }
        if !keep_tail {
            self.tails.forget(id);
        }
        Ok(())
    }

    /// `step_end` does not carry the reason. Only an interrupt has an exit code of its own; a failure seen before is what
    /// stops the others under fail-fast.
    fn why_canceled(&self, exit_code: i32) -> String {
        const INTERRUPTED: i32 = 130;
        match &self.first_failure {
            _ if exit_code == INTERRUPTED => "the build was interrupted".to_owned(),
            Some(key) => format!("{} failed", one_line(key)),
            None => "the build was stopped".to_owned(),
        }
    }

    fn prefix(&self, step: &StepView) -> impl Display + use<> {
        self.paint.step(step.position, format!("[{}]", one_line(&step.key)))
    }
}

fn write_causes(causes: &[String], prefix: &impl Display, paint: Paint, out: &mut Vec<u8>) -> io::Result<()> {
    causes
        .iter()
        .try_for_each(|cause| writeln!(out, "{prefix} {} {}", paint.bad("cause:"), one_line(cause)))
}
