//! How much one pipeline file may use.

use std::time::Duration;

/// Budgets of the evaluation of TypeScript files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeScriptLimits {
    /// Time for one file, with what it imports.
    pub time: Duration,
    /// Memory of the engine, in bytes; files that are evaluated together share it.
    pub memory: usize,
}

impl Default for TypeScriptLimits {
    /// 10 seconds and 256 MiB.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            memory: 256 * 1024 * 1024,
        }
    }
}
