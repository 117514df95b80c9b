//! Takes children that start and are gone. Gives how many there are, and the word that there is one less.
//! Never takes a child for gone while anything of it is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The places of all children, those that are ending included.
#[derive(Debug, Default)]
pub(in crate::tap::bridge) struct Room {
    taken: AtomicUsize,
    pub(super) freed: Notify,
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

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_waiters();
    }
}
