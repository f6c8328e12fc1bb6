//! Cache-aware execution of steps.

mod cache;
mod error;
mod hmvm;
mod material;
mod spec;

pub use cache::{CacheGuard, MemoryCache, StepCache};
pub use error::HmVmError;
pub use hmvm::{HmVm, HmVmSettings};
pub use spec::{
    KeySpec, Lookup, LookupAnswer, ParentState, PendingEntry, PolicyAnswer, Reservation, StepBase, StepRun, StepSpec,
    StepState,
};
