//! What stands at the end of the log.

use std::io::{self, Write};

use hm_plugin_protocol::{BuildStatus, BuildView, Counts, StepPhase, StepStatus, StepView};

use super::duration::Millis;
use super::paint::Paint;
use super::tails::Tails;
use super::text::one_line;
use super::words::{build_status, step_status};

/// The failed steps with the last lines of their output, then the verdict with counts.
pub(super) fn write_summary(view: &BuildView, tails: &Tails, paint: Paint, out: &mut Vec<u8>) -> io::Result<()> {
    for step in view.steps() {
        write_failure(step, tails, paint, out)?;
    }
    let Some(verdict) = view.verdict() else { return Ok(()) };
    let (word, took) = (build_status(verdict.status), Millis(verdict.duration_ms));
    let counts = counts_in_words(view.counts());
    writeln!(out)?;
    match verdict.status {
        BuildStatus::Passed => write!(out, "{}", paint.good(format_args!("✔ build {word} in {took}")))?,
        BuildStatus::Failed | BuildStatus::Canceled | BuildStatus::TimedOut => {
            write!(out, "{}", paint.bad(format_args!("✘ build {word} after {took}")))?;
        }
    }
    writeln!(out, "{counts}")
}

fn write_failure(step: &StepView, tails: &Tails, paint: Paint, out: &mut Vec<u8>) -> io::Result<()> {
    let StepPhase::Ended {
        status,
        exit_code,
        duration_ms,
        snapshot: _,
        causes,
        fixes,
    } = &step.phase
    else {
        return Ok(());
    };
    let how = match status {
        StepStatus::Passed | StepStatus::Cached | StepStatus::Flaky | StepStatus::Canceled | StepStatus::Skipped => {
            return Ok(());
        }
        StepStatus::Failed => format!("{} with exit code {exit_code}", step_status(*status)),
        StepStatus::TimedOut => format!("{} after {}", step_status(*status), Millis(*duration_ms)),
        StepStatus::Errored => step_status(*status).to_owned(),
    };
    let key = one_line(&step.key);
    writeln!(
        out,
        "\n{} {}",
        paint.bad(format_args!("✘ {key} {how}:")),
        one_line(&step.display_name)
    )?;
    let last = tails.lines(step.id).map(|line| format!("    {line}"));
    let causes = causes.iter().map(|cause| format!("    cause: {}", one_line(cause)));
    let fixes = fixes.iter().map(|fix| format!("    fix: {}", one_line(fix)));
    last.chain(causes)
        .chain(fixes)
        .try_for_each(|line| writeln!(out, "{line}"))
}

fn counts_in_words(counts: Counts) -> String {
    let Counts {
        queued,
        running,
        passed,
        cached,
        failed,
        timed_out,
        canceled,
        skipped,
        errored,
        flaky,
    } = counts;
    let words = [
        (failed, "failed"),
        (timed_out, "timed out"),
        (errored, "could not be run"),
        (canceled, "canceled"),
        (skipped, "skipped"),
        (flaky, "flaky"),
        (passed, "passed"),
        (cached, "cached"),
        (running, "running"),
        (queued, "waiting"),
    ];
    let there: Vec<String> = words
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if there.is_empty() {
        String::new()
    } else {
        format!(": {}", there.join(", "))
    }
}
