//! Takes children that start and are gone. Gives a place to what needs one, also that of a child that nobody uses.
//! Never takes a child for gone while anything of it is left, and never ends one that is of use to anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::debug;

use super::NoChild;
use crate::clock;
use crate::tap::bridge::{Bridge, lock};

/// How long a request may wait for the place of a child that is ending: no child takes longer.
const ENDING: Duration = Duration::from_secs(10);

/// The places of all children, those that are ending included.
#[derive(Debug, Default)]
pub(in crate::tap::bridge) struct Room {
    taken: AtomicUsize,
    freed: Notify,
}

/// Held as long as anything of a child is left.
pub(super) struct Place(Arc<Room>);

impl Room {
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) fn take(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(self))
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
            loop {
                let mut freed = std::pin::pin!(self.room.freed.notified());
                // From now on no word of a free place is missed.
                freed.as_mut().enable();
                match start() {
                    Err(NoChild::Full { .. }) if self.is_one_ending() || self.end_idlest() => {
                        freed.await;
                    }
                    started => return started,
                }
            }
        };
        let started = tokio::time::timeout(ENDING, started).await;
        started.unwrap_or_else(|_| start())
    }

    /// Whether a place will be free soon: not all children are somebody's.
    fn is_one_ending(&self) -> bool {
        let places = lock(&self.places);
        let sessions = places.sessions.values();
        let shared = places.callers.values().chain(&places.retired);
        let owned = places.connections.len()
            + sessions.filter(|session| session.ended().is_none()).count()
            + shared.filter(|shared| !shared.is_ending()).count();
        self.room.taken() > owned
    }

    /// Ends the shared child that nobody has used for longest. False when each is in use.
    fn end_idlest(&self) -> bool {
        let shared: Vec<_> = lock(&self.places).callers.values().cloned().collect();
        let idle = || {
            let idle = shared
                .iter()
                .filter_map(|shared| Some((shared.idle_since()?, shared)));
            idle.min_by_key(|(since, _)| *since)
        };
        while let Some((since, idlest)) = idle() {
            let now = clock::instant();
            // Somebody may have come for it in between.
            if idlest.end_if_idle(now, now.saturating_duration_since(since)) {
                debug!("the command that was idle for longest gives way");
                return true;
            }
        }
        false
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}
