//! Asking the cache about steps.

use hm_pipeline_ir::StepIndex;
use hm_plugin_protocol::{BuildEvent, CancelReason, SkipReason, SnapshotRef, StepOutcome};

use super::effect::Effect;
use super::input::CacheAnswer;
use super::slot::Phase;
use super::turn::{Turn, unasked_stop};

impl Turn<'_> {
    /// Has the cache asked about steps while there are turns.
    pub(super) fn start_lookups(&mut self) {
        while self.state.lookup_turns.is_one_free() {
            let Some(at) = self.state.to_look_up.pop() else { return };
            if self.state.slots[at.get()].phase == Phase::ToLookUp {
                self.look_up(at);
            }
        }
    }

    fn look_up(&mut self, at: StepIndex) {
        self.state.lookup_turns.begin();
        let slot = &mut self.state.slots[at.get()];
        slot.phase = Phase::LookingUp;
        slot.since = self.now;
        let keep_snapshot = slot.open_children > 0;
        let parent_snapshot = self.parent_snapshot(at);
        self.effects.push(Effect::Lookup {
            step: at,
            parent_snapshot,
            keep_snapshot,
        });
    }

    pub(super) fn looked_up(&mut self, at: StepIndex, answer: CacheAnswer) {
        self.state.lookup_turns.end();
        match self.state.slots[at.get()].phase {
            Phase::LookingUp => match answer {
                CacheAnswer::Hit { tag, snapshot } => self.use_earlier_result(at, tag, snapshot),
                CacheAnswer::Miss => {
                    self.state.lookup_turns.hold();
                    self.become_ready(at);
                }
                CacheAnswer::Stopped => self.end(at, unasked_stop()),
                CacheAnswer::Errored { causes, fixes } => self.end(at, StepOutcome::Errored { causes, fixes }),
            },
            Phase::LookupStopping => {
                if let CacheAnswer::Hit { snapshot, .. } = answer {
                    self.state.slots[at.get()].snapshot = snapshot;
                }
                let reason = self.state.stopping.unwrap_or(CancelReason::StepFailed);
                self.skip(at, SkipReason::Stopped { reason });
            }
            Phase::Waiting | Phase::ToLookUp | Phase::Ready | Phase::Running | Phase::Stopping(_) | Phase::Ended(_) => {
            }
        }
    }

    fn use_earlier_result(&mut self, at: StepIndex, tag: String, snapshot: Option<SnapshotRef>) {
        self.state.slots[at.get()].snapshot = snapshot;
        let step_id = self.state.step_id(at);
        let key = self.state.step(at).key.as_str().to_owned();
        self.append(BuildEvent::StepCacheHit { step_id, key, tag });
        self.effects.push(Effect::Replay(at));
        self.end(at, StepOutcome::Passed { cached: true });
    }
}
