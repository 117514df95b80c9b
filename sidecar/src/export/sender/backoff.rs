//! Takes what a refusal says about trying again. Gives how long to wait, longer each time.
//! Never waits less than the collector asked for, up to a bound: a hint must not stop telemetry for good.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(5);
const MOST_ASKED_FOR: Duration = Duration::from_secs(30);
const JITTER_MS: u64 = 200;

/// Whether and when the same export may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    Soon,
    /// Not before this time, which the collector gave.
    After(Duration),
}

pub(super) struct Backoff {
    delay: Duration,
    most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            delay: FIRST,
            most: MOST,
        }
    }
}

impl Backoff {
    pub(super) fn next(&mut self, again: &Again) -> Option<Duration> {
        match *again {
            Again::Never => return None,
            Again::Soon => {}
            Again::After(asked) => {
                let asked = asked.min(MOST_ASKED_FOR);
                if asked > self.most {
                    self.most = MOST_ASKED_FOR;
                }
                self.delay = self.delay.max(asked);
            }
        }
        let jitter = Duration::from_millis(fastrand::u64(..=JITTER_MS));
        let pause = (self.delay + jitter).min(self.most);
        self.delay = (self.delay * 2).min(self.most);
        Some(pause)
    }
}
