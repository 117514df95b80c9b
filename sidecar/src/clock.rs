//! Takes nothing. Gives the time: of day for records, monotonic for durations and deadlines.
//! Never read anywhere else: all other modules take the time as an argument or await it.

use std::time::{Instant, SystemTime};

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub wall: SystemTime,
    pub monotonic: Instant,
}

#[must_use]
pub fn now() -> Moment {
    Moment {
        wall: SystemTime::now(),
        monotonic: Instant::now(),
    }
}

#[must_use]
pub fn instant() -> Instant {
    Instant::now()
}
