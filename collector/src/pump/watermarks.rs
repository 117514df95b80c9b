//! Takes how far each sink has stored.
//! Gives the log the word to delete what all of them have.
//! Never runs ahead of the slowest sink.

use std::sync::{Mutex, PoisonError};

use crate::wal::{Log, Seq};

/// One number for each sink.
pub struct Watermarks {
    log: Log,
    stored: Mutex<Vec<Seq>>,
}

impl Watermarks {
    /// Releases what all sinks have stored already.
    pub fn new(log: Log, stored: Vec<Seq>) -> Self {
        log.release(stored.iter().copied().min().unwrap_or_default());
        Self {
            log,
            stored: Mutex::new(stored),
        }
    }

    /// The sink at `place` has stored everything up to `seq`.
    pub fn advance(&self, place: usize, seq: Seq) {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = stored.get_mut(place) {
            *mark = seq;
        }
        let slowest = stored.iter().copied().min().unwrap_or_default();
        drop(stored);
        self.log.release(slowest);
    }
}
