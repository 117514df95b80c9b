//! Takes how many bytes a message of a client is by now. Gives whether there is room for it, beside all the others.
//! Never says no to a small one: clients that send a lot cannot keep out those that do not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::lock;
use crate::config::BridgeSettings;

/// What of each message takes no room.
const FREE: usize = 64 * 1024;
/// One payer may take a share of the room, so that a child that does not read leaves some for others.
const SHARES: usize = 4;

/// Whose messages take room together: those on their way to one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Payer(pub [u64; 2]);

/// How much messages may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub all: usize,
    /// Of one payer.
    pub each: usize,
}

impl Most {
    /// One message always fits.
    pub fn of(settings: &BridgeSettings) -> Self {
        let all = settings.max_held_bytes;
        let each = (all / SHARES).max(settings.max_message_bytes);
        Self { all, each }
    }
}

/// What the messages of all clients of a hop take that are on their way to a child.
#[derive(Debug, Default)]
pub(super) struct Budget {
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<Payer, usize>,
}

/// What one of them takes, until the child has read it.
#[derive(Debug)]
pub(super) struct Spent {
    budget: Arc<Budget>,
    payer: Payer,
    bytes: usize,
}

impl Budget {
    /// A message that has only begun.
    pub fn begin(self: &Arc<Self>, payer: Payer) -> Spent {
        Spent {
            budget: Arc::clone(self),
            payer,
            bytes: 0,
        }
    }
}

impl Spent {
    /// The message is so long by now. False, and nothing changes, when it would be too much beside the others.
    pub fn grow_to(&mut self, length: usize, most: Most) -> bool {
        let more = length.saturating_sub(FREE).saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let mut taken = lock(&self.budget.taken);
        let all = taken.all.saturating_add(more);
        let each = taken.each.get(&self.payer).copied().unwrap_or(0);
        let each = each.saturating_add(more);
        if all > most.all || each > most.each {
            return false;
        }
        taken.all = all;
        taken.each.insert(self.payer, each);
        self.bytes += more;
        true
    }

    /// The same for a client that can wait. False when there was no room for so long.
    pub async fn wait_to_grow_to(&mut self, length: usize, most: Most, long: Duration) -> bool {
        let budget = Arc::clone(&self.budget);
        let grown = async {
            loop {
                let mut freed = std::pin::pin!(budget.freed.notified());
                // From now on no word of free room is missed.
                freed.as_mut().enable();
                if self.grow_to(length, most) {
                    return;
                }
                freed.await;
            }
        };
        timeout(long, grown).await.is_ok()
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = lock(&self.budget.taken);
        taken.all -= self.bytes;
        if let Some(each) = taken.each.get_mut(&self.payer) {
            *each -= self.bytes;
            if *each == 0 {
                taken.each.remove(&self.payer);
            }
        }
        drop(taken);
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
