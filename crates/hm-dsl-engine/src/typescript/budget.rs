//! The time and memory that a pipeline file has in the embedded engine.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Instant;

use super::limits::TypeScriptLimits;

/// Stops the engine when its budget is used up. The engine asks now and then, between two steps of a program.
#[derive(Debug)]
pub(super) struct Budget {
    limits: TypeScriptLimits,
    deadline: Cell<Option<Instant>>,
    /// Resident memory of the process that is the engine's no more.
    most_resident: Option<u64>,
    spent: Cell<Option<Spent>>,
}

/// What was used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spent {
    Time,
    Memory,
}

impl Budget {
    /// That of an engine which has allocated next to nothing.
    pub(super) fn new(limits: TypeScriptLimits) -> Self {
        Self {
            limits,
            deadline: Cell::new(None),
            most_resident: resident().map(|resident| resident.saturating_add(limits.memory as u64)),
            spent: Cell::new(None),
        }
    }

    /// From now on there is the whole time.
    pub(super) fn start(&self) {
        self.spent.set(None);
        self.deadline.set(Instant::now().checked_add(self.limits.time));
    }

    /// Whether the engine was stopped since the start.
    pub(super) fn spent(&self) -> Option<Spent> {
        self.spent.get()
    }

    /// Asked by the engine now and then; true stops it.
    pub(super) fn handler(self: &Rc<Self>) -> Box<dyn FnMut() -> bool> {
        let budget = Rc::clone(self);
        Box::new(move || {
            let spent = budget.is_spent();
            if spent.is_some() {
                budget.spent.set(spent);
            }
            spent.is_some()
        })
    }

    /// The engine's own limit of memory leaves nothing for an error with a line, so this one comes first wherever objects
    /// are small. It may be late, where the process has memory to use again.
    fn is_spent(&self) -> Option<Spent> {
        if self.deadline.get().is_some_and(|deadline| Instant::now() >= deadline) {
            return Some(Spent::Time);
        }
        self.is_memory_short().then_some(Spent::Memory)
    }

    /// Whether the engine has taken what it may.
    pub(super) fn is_memory_short(&self) -> bool {
        resident().zip(self.most_resident).is_some_and(|(now, most)| now > most)
    }
}

/// Resident memory of this process in bytes (proc(5), `/proc/pid/statm`); `None` where there is no such file.
fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}
