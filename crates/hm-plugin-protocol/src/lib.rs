//! The output contract: events, outcomes, the fold of events into a view, and executor wire types. Pure data.

mod event;
mod executor;
mod ids;
mod outcome;
mod schema;
mod view;

pub use event::{BuildEvent, BuildRef, PlanSummary, PullState, SCHEMA_VERSION, Sequenced, Stream};
pub use executor::{ArchiveId, ArtifactRef, CacheDecision, ExecutorInput, SnapshotRef, StepResult};
pub use ids::{RunId, StepId};
pub use outcome::{BuildStatus, CancelReason, SkipReason, StepOutcome, StepStatus};
pub use schema::event_schema;
pub use view::{BuildView, Counts, StepPhase, StepView, Usage, Verdict};
