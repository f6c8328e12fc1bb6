//! The tasks of a build: one for each look-up, attempt and clean-up.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{ArchiveId, CacheDecision, ExecutorInput, SnapshotRef, StepResult, Stream};
use hm_vm::Usage;
use tokio::time::Instant;
use uuid::Uuid;

use super::step_output::HeldOutput;
use crate::runner::{Keepsake, Lookup, StepContext, StepError, StepRunner, WORKDIR, causes};
use crate::state::{AttemptEnd, CacheAnswer};

/// Names the workspace of a build that has no files.
const NO_WORKSPACE: ArchiveId = ArchiveId(Uuid::nil());

/// What a task has to say when it is done.
#[derive(Debug)]
pub(super) enum Report {
    LookedUp {
        step: StepIndex,
        answer: CacheAnswer,
        found: Found,
    },
    Ended {
        step: StepIndex,
        end: AttemptEnd,
        keepsake: Option<Keepsake>,
        usage: Option<Usage>,
        took: Duration,
    },
    /// What went wrong while letting go of something, if anything.
    CleanedUp(Vec<String>),
}

/// What a look-up brings beside its answer.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) decision: Option<CacheDecision>,
    pub(super) held: Option<Keepsake>,
    pub(super) keepsake: Option<Keepsake>,
    pub(super) log: Option<PathBuf>,
    /// What the look-up had to say.
    pub(super) output: Vec<(Stream, Vec<u8>)>,
}

pub(super) async fn look_up(runner: Arc<dyn StepRunner>, context: StepContext, said: Arc<HeldOutput>) -> Report {
    let step = context.at();
    let result = caught(runner.lookup(&context)).await;
    let mut found = Found::default();
    let answer = match result {
        Ok(Lookup::Hit { snapshot: None, .. }) if context.keep().snapshot => {
            errored("the cached result has no snapshot")
        }
        Ok(Lookup::Hit {
            tag,
            snapshot,
            log,
            keepsake,
        }) => {
            found.log = log;
            found.keepsake = keepsake;
            CacheAnswer::Hit { tag, snapshot }
        }
        Ok(Lookup::MissBuildAs { tag, held }) => {
            found.held = held;
            found.decision = Some(CacheDecision::MissBuildAs { tag });
            CacheAnswer::Miss
        }
        Ok(Lookup::MissNoCommit) => CacheAnswer::Miss,
        Err(StepError::Stopped) => CacheAnswer::Stopped,
        Err(error @ StepError::Engine(_)) => CacheAnswer::Errored {
            causes: causes(&error),
            fixes: error.fixes(),
        },
    };
    found.output = said.take();
    Report::LookedUp { step, answer, found }
}

fn errored(cause: &str) -> CacheAnswer {
    CacheAnswer::Errored {
        causes: vec![cause.to_owned()],
        fixes: Vec::new(),
    }
}

pub(super) async fn execute(runner: Arc<dyn StepRunner>, context: StepContext, decision: CacheDecision) -> Report {
    let (step, begun) = (context.at(), Instant::now());
    let result = caught(runner.execute(&context, executor_input(&context, decision))).await;
    let end = match result {
        Ok(result) => attempt_end(&context, result),
        Err(StepError::Stopped) => AttemptEnd::Stopped,
        Err(error @ StepError::Engine(_)) => AttemptEnd::Errored {
            causes: causes(&error),
            fixes: error.fixes(),
        },
    };
    Report::Ended {
        step,
        end,
        keepsake: context.keepsake.into_inner(),
        usage: context.usage.into_inner(),
        took: begun.elapsed(),
    }
}

fn executor_input(context: &StepContext, cache_lookup: CacheDecision) -> ExecutorInput {
    ExecutorInput {
        step: context.step().clone(),
        workspace_archive_id: context
            .build()
            .workspace
            .as_ref()
            .map_or(NO_WORKSPACE, |workspace| workspace.archive),
        env: context.env(),
        workdir: WORKDIR.to_owned(),
        run_id: context.build().run_id,
        step_id: context.step_id(),
        cache_lookup,
        parent_snapshot: context.parent_snapshot().cloned(),
    }
}

fn attempt_end(context: &StepContext, result: StepResult) -> AttemptEnd {
    let StepResult {
        exit_code,
        cause,
        committed_snapshot: snapshot,
        artifacts: _,
    } = result;
    if exit_code == 0 && context.keep().snapshot && snapshot.is_none() {
        let cause = "the runner left no snapshot although steps boot from this one";
        return AttemptEnd::Errored {
            causes: vec![cause.to_owned()],
            fixes: Vec::new(),
        };
    }
    AttemptEnd::Exited {
        exit_code,
        cause,
        snapshot,
    }
}

pub(super) async fn reap(runner: Arc<dyn StepRunner>, snapshots: Vec<SnapshotRef>) -> Report {
    Report::CleanedUp(leftovers(caught(runner.reap_snapshots(snapshots)).await))
}

/// What a clean-up left, as one line.
pub(super) fn leftovers(result: Result<(), StepError>) -> Vec<String> {
    result
        .err()
        .map(|error| causes(&error).join(": "))
        .into_iter()
        .collect()
}

/// A runner that panics has failed at its job; the build goes on and ends in order.
pub(super) async fn caught<T>(work: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(StepError::engine(RunnerPanic {
            message: panic_text(&*panic),
        })),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the runner panicked: {message}")]
struct RunnerPanic {
    message: String,
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
