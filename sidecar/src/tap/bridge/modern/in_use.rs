//! Takes requests that a caller's child was chosen for. Gives the child's end: when it is idle, or outdated and unused.
//! Never ends a child between the moment when it was chosen and the end of the answer.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Shared, State};
use crate::clock;

/// Without a request for so long, a child may give way: a client that is at work pauses for less.
const UNUSED: Duration = Duration::from_secs(30);

/// A caller's child, chosen for a request: as long as this is there, the child is not ended for want of requests.
#[derive(Debug)]
pub(in crate::tap::bridge) struct InUse(Arc<Shared>);

impl Deref for InUse {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.lock();
        state.users -= 1;
        state.used = clock::instant();
        let over = state.outdated && state.may_end();
        state.asked |= over;
        drop(state);
        if over {
            self.let_go();
        }
    }
}

impl Shared {
    /// Chooses the child for a request; none when it has ended or is about to.
    pub fn hold(self: &Arc<Self>) -> Option<InUse> {
        let mut state = self.lock();
        if state.is_ending() {
            return None;
        }
        state.users += 1;
        Some(InUse(Arc::clone(self)))
    }

    #[cfg(test)]
    pub fn is_ending(&self) -> bool {
        self.lock().is_ending()
    }

    #[cfg(test)]
    pub fn used_at(&self, at: Instant) {
        self.lock().used = at;
    }

    /// Since when nobody has used the child; none when it is of use, and once it is to end.
    pub fn idle_since(&self, now: Instant) -> Option<Instant> {
        let state = self.lock();
        let idle = state.may_give_way(now) && state.may_end() && !state.is_ending();
        idle.then_some(state.used)
    }

    /// Ends the child in favour of another if it is of no use, and says whether.
    pub fn give_way(self: &Arc<Self>, now: Instant) -> bool {
        self.end_if(|state| state.may_give_way(now))
    }

    /// Ends the child if nobody has used it for so long.
    pub fn end_if_idle(self: &Arc<Self>, now: Instant, limit: Duration) {
        self.end_if(|state| state.is_unused(now, limit));
    }

    /// The command is another by now: what has begun goes on, and then the child ends.
    pub fn retire(self: &Arc<Self>) {
        self.end_if(|state| {
            state.outdated = true;
            true
        });
    }

    /// Decides and says so in one step, so that no request comes in between.
    fn end_if(self: &Arc<Self>, over: impl FnOnce(&mut State) -> bool) -> bool {
        let mut state = self.lock();
        if !over(&mut state) || !state.may_end() {
            return false;
        }
        state.asked = true;
        drop(state);
        self.let_go();
        true
    }

    pub(super) fn let_go(self: &Arc<Self>) {
        if let Some(bridge) = self.bridge.upgrade() {
            bridge.forget_caller(self);
        }
        self.child.end();
    }
}

impl State {
    fn is_ending(&self) -> bool {
        self.asked || self.ended.is_some()
    }

    fn is_unused(&self, now: Instant, limit: Duration) -> bool {
        now.saturating_duration_since(self.used) >= limit
    }

    /// Nobody will miss it soon. A task is missed as long as it may be asked for, which only the idle limit ends.
    fn may_give_way(&self, now: Instant) -> bool {
        !self.has_task && self.is_unused(now, UNUSED)
    }

    fn may_end(&self) -> bool {
        self.users == 0 && !self.asked
    }
}

#[cfg(test)]
pub(super) mod tests;
