//! Something of a runner's own that the dispatcher carries for it.

use std::any::Any;
use std::fmt;

/// A value that only the runner that made it can look into: what it knows of a step's state, a lock that it holds.
/// Dropping it lets go of whatever it holds.
pub struct Keepsake(Box<dyn Any + Send + Sync>);

impl Keepsake {
    /// Wraps a value up.
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self(Box::new(value))
    }

    /// The value, if it is a `T`.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    /// Unwraps the value, if it is a `T`.
    pub fn into<T: Any>(self) -> Option<T> {
        self.0.downcast().ok().map(|value| *value)
    }
}

impl fmt::Debug for Keepsake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keepsake").finish_non_exhaustive()
    }
}
