//! Takes how many bytes a message of a client is by now. Gives whether there is room for it, beside all the others.
//! Never says no to a small one: clients that send a lot cannot keep out those that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What of each message takes no room.
const FREE: usize = 64 * 1024;

/// What the messages of all clients of a hop take that are on their way to a child.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// What one of them takes, until the child has read it.
#[derive(Debug)]
pub(super) struct Spent {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A message that has only begun.
    pub fn begin(self: &Arc<Self>) -> Spent {
        Spent {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Spent {
    /// The message is so long by now. False, and nothing changes, when all of them would take more than `max`.
    pub fn grow_to(&mut self, length: usize, max: usize) -> bool {
        let Some(more) = length.saturating_sub(FREE).checked_sub(self.bytes) else {
            return true;
        };
        let taken = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= max);
        let all = &self.budget.0;
        if more > 0
            && all
                .try_update(Ordering::Relaxed, Ordering::Relaxed, taken)
                .is_err()
        {
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_messages_share_a_budget_and_small_ones_are_free() {
        let budget = Arc::new(Budget::default());
        let (mut one, mut other) = (budget.begin(), budget.begin());
        assert!(one.grow_to(FREE, 0));
        assert!(one.grow_to(FREE + 60, 100));
        assert!(other.grow_to(FREE + 40, 100));
        assert!(!other.grow_to(FREE + 41, 100));
        assert!(budget.begin().grow_to(FREE, 100));
        drop(one);
        assert!(other.grow_to(FREE + 100, 100));
        assert!(other.grow_to(FREE, 0), "it does not shrink");
        drop(other);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
