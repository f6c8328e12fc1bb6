//! Work that finds more work, shared by some threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Jobs that wait; the work ends when none waits and none is being done.
#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    jobs: Vec<T>,
    /// Jobs that wait or are being done.
    open: usize,
    stopped: bool,
}

impl<T: Send> WorkQueue<T> {
    /// Does `first`, and whatever is added meanwhile, on some threads: each folds its jobs into one value. The first
    /// error ends all.
    ///
    /// As [`on_threads`], it copes with a limit of threads.
    pub(crate) fn run<V, E, F>(threads: usize, first: T, work: F) -> Result<Vec<V>, E>
    where
        V: Default + Send,
        E: Send,
        F: Fn(&Self, T, &mut V) -> Result<(), E> + Sync,
    {
        let queue = Self {
            state: Mutex::new(State {
                jobs: vec![first],
                open: 1,
                stopped: false,
            }),
            changed: Condvar::new(),
        };
        let one = || -> Result<V, E> {
            let mut value = V::default();
            while let Some(job) = queue.take() {
                let result = work(&queue, job, &mut value);
                queue.done(result.is_err());
                result?;
            }
            Ok(value)
        };
        on_threads(threads, one).into_iter().collect()
    }

    /// Adds a job.
    pub(crate) fn add(&self, job: T) {
        let mut state = self.lock();
        state.jobs.push(job);
        state.open += 1;
        drop(state);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.open == 0 {
                return None;
            }
            if let Some(job) = state.jobs.pop() {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, failed: bool) {
        let mut state = self.lock();
        state.open -= 1;
        state.stopped |= failed;
        if state.open == 0 || failed {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the same on some threads, of which the caller's is one. Where the system allows for fewer (`RLIMIT_NPROC` of
/// `setrlimit(2)`), fewer do it.
pub(crate) fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let helpers = (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, &work).ok());
        let helpers: Vec<_> = helpers.collect();
        let mut values = vec![work()];
        values.extend(
            helpers
                .into_iter()
                .map(|helper| helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        );
        values
    })
}

/// How many threads work on files: there is something to overlap even on one core.
pub(crate) fn file_threads() -> usize {
    thread::available_parallelism().map_or(2, usize::from).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_jobs_are_done_once() {
        let sums: Vec<u64> = WorkQueue::run(3, 10_u64, |queue, job, sum: &mut u64| {
            *sum += job;
            if job > 0 {
                queue.add(job - 1);
            }
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(sums.iter().sum::<u64>(), 55);
    }

    #[test]
    fn an_error_ends_all() {
        let result: Result<Vec<u64>, u64> = WorkQueue::run(3, 0, |queue, job, _| {
            queue.add(job + 1);
            queue.add(job + 1);
            if job == 5 { Err(job) } else { Ok(()) }
        });
        assert_eq!(result, Err(5));
    }
}
