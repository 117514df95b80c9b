//! Takes children that start and are gone. Gives a place to what needs one, also that of a child that nobody uses.
//! Never takes a child for gone while anything of it is left, and never ends one that is of use to anybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::debug;

use super::NoChild;
use crate::clock;
use crate::tap::bridge::child::Ending;
use crate::tap::bridge::{Bridge, lock};

/// How long a request may wait for the place of a child that is ending: one that takes longer may never be gone.
const ENDING: Duration = Duration::from_secs(10);
/// How often a request that waits looks whether what it waits for still comes.
const LOOK: Duration = Duration::from_secs(1);

/// The places of all children, those that are ending included.
#[derive(Debug, Default)]
pub(in crate::tap::bridge) struct Room {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    taken: HashMap<u64, Ending>,
    last: u64,
    /// Requests that need a place, and found none.
    waiting: usize,
}

/// Held as long as anything of a child is left.
pub(super) struct Place {
    room: Arc<Room>,
    number: u64,
}

/// Held as long as a request needs a place.
struct Waiting<'a>(&'a Room);

impl Room {
    pub(super) fn taken(&self) -> usize {
        lock(&self.state).taken.len()
    }

    pub(super) fn take(self: &Arc<Self>, ending: Ending) -> Place {
        let mut state = lock(&self.state);
        state.last += 1;
        let number = state.last;
        state.taken.insert(number, ending);
        let room = Arc::clone(self);
        Place { room, number }
    }

    fn wait(&self) -> Waiting<'_> {
        lock(&self.state).waiting += 1;
        Waiting(self)
    }

    /// How many places will be free soon, and how many requests need one.
    fn coming(&self, now: Instant) -> (usize, usize) {
        let state = lock(&self.state);
        let soon = |ending: &&Ending| {
            let since = ending.since();
            since.is_some_and(|since| now.saturating_duration_since(since) < ENDING)
        };
        (state.taken.values().filter(soon).count(), state.waiting)
    }
}

impl Bridge {
    /// Starts what needs a place. Where there is none, the shared child that nobody has used for longest gives way;
    /// sessions and connections have a client each, which could not go on.
    pub(super) async fn when_there_is_room<T>(
        &self,
        start: impl Fn() -> Result<T, NoChild>,
    ) -> Result<T, NoChild> {
        let started = async {
            let mut waiting = None;
            loop {
                let mut freed = std::pin::pin!(self.room.freed.notified());
                // From now on no word of a free place is missed.
                freed.as_mut().enable();
                let full = match start() {
                    Err(full @ NoChild::Full { .. }) => full,
                    started => return started,
                };
                waiting.get_or_insert_with(|| self.room.wait());
                if !self.make_room(clock::instant()) {
                    return Err(full);
                }
                // Where time is over, what was to end has not, and another child may give way.
                let _ = tokio::time::timeout(LOOK, freed).await;
            }
        };
        let started = tokio::time::timeout(ENDING, started).await;
        started.unwrap_or_else(|_| start())
    }

    /// Ends idle children until each request that waits gets a place soon, as far as there are any. False when none will
    /// be free soon.
    fn make_room(&self, now: Instant) -> bool {
        loop {
            let (coming, waiting) = self.room.coming(now);
            if coming >= waiting || !self.end_idlest(now) {
                return coming > 0;
            }
        }
    }

    /// Ends the shared child that nobody has used for longest. False when each is of use.
    fn end_idlest(&self, now: Instant) -> bool {
        let shared: Vec<_> = lock(&self.places).callers.values().cloned().collect();
        let idlest = || {
            let idle = shared
                .iter()
                .filter_map(|shared| Some((shared.idle_since(now)?, shared)));
            idle.min_by_key(|(since, _)| *since)
        };
        while let Some((_, idlest)) = idlest() {
            // Somebody may have come for it in between.
            if idlest.give_way(now) {
                debug!("the command that was idle for longest gives way");
                return true;
            }
        }
        false
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.room.state).taken.remove(&self.number);
        self.room.freed.notify_waiters();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).waiting -= 1;
    }
}

#[cfg(test)]
mod tests;
