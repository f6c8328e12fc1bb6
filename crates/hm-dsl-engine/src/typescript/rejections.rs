//! Promises that were rejected while nobody waited for them: an `await` that was forgotten must not hide an error.

use std::cell::RefCell;
use std::rc::Rc;

use rquickjs::{Ctx, Persistent, Runtime, Value};

/// The promises of the current file that are rejected and have no handler (`HostPromiseRejectionTracker` of ECMA-262).
#[derive(Clone, Default)]
pub(crate) struct Rejections(Rc<RefCell<Vec<Rejection>>>);

struct Rejection {
    promise: Persistent<Value<'static>>,
    reason: Persistent<Value<'static>>,
}

impl Rejections {
    /// Those of an engine, from here on.
    pub(crate) fn of(runtime: &Runtime) -> Self {
        let rejections = Self::default();
        let told = rejections.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, handled| {
            if handled {
                told.forget(&ctx, &promise);
            } else {
                told.0.borrow_mut().push(Rejection {
                    promise: Persistent::save(&ctx, promise),
                    reason: Persistent::save(&ctx, reason),
                });
            }
        })));
        rejections
    }

    /// What they were rejected with, in order. None of them is told again.
    pub(crate) fn take<'js>(&self, ctx: &Ctx<'js>) -> Vec<Value<'js>> {
        let taken = self.0.take();
        let reasons = taken.into_iter().map(|rejection| rejection.reason.restore(ctx));
        reasons.filter_map(Result::ok).collect()
    }

    /// The handler of this one came late.
    fn forget<'js>(&self, ctx: &Ctx<'js>, promise: &Value<'js>) {
        self.0.borrow_mut().retain(|known| {
            let known = known.promise.clone().restore(ctx);
            !known.is_ok_and(|known| known == *promise)
        });
    }
}
