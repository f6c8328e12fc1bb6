//! Telling readers that wait that there is something to read. Costs the writer one load while none waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Wake {
    tasks: AtomicUsize,
    notify: Notify,
    threads: AtomicUsize,
    gate: Mutex<()>,
    condition: Condvar,
}

impl Wake {
    /// Wakes all who wait; call it after what they wait for has happened.
    pub(super) fn wake(&self) {
        if self.tasks.load(Ordering::SeqCst) > 0 {
            self.notify.notify_waiters();
        }
        if self.threads.load(Ordering::SeqCst) > 0 {
            drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
            self.condition.notify_all();
        }
    }

    /// Waits for a wake, unless `ready` says that there is no need; it is asked once the wait can't be missed.
    pub(super) async fn task<T>(&self, ready: impl FnOnce() -> Option<T>) -> Option<T> {
        let _counted = Counted::new(&self.tasks);
        let mut notified = std::pin::pin!(self.notify.notified());
        notified.as_mut().enable();
        let answer = ready();
        if answer.is_none() {
            notified.await;
        }
        answer
    }

    /// As [`Wake::task`], for a thread.
    pub(super) fn thread<T>(&self, ready: impl FnOnce() -> Option<T>) -> Option<T> {
        let _counted = Counted::new(&self.threads);
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = ready();
        if answer.is_none() {
            drop(self.condition.wait(gate).unwrap_or_else(PoisonError::into_inner));
        }
        answer
    }
}

/// One more who waits, until it is dropped: also when the waiting task is.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
