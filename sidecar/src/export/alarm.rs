//! Takes each failure to reach the collector. Gives one WARN a minute, and one INFO when it is over.
//! Never logs for every export, and never for the first success.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct State {
    warned_at: Option<Instant>,
    failing: bool,
    silent: u64,
}

#[derive(Debug)]
pub(super) struct Alarm {
    endpoint: String,
    state: Mutex<State>,
}

impl Alarm {
    pub(super) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: without_user(endpoint),
            state: Mutex::default(),
        }
    }

    /// Tells whether this failure was worth a line.
    pub(super) fn failing(&self, now: Instant, reason: &str, waiting: usize) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failing = true;
        let quiet = |at: Instant| now.saturating_duration_since(at) < QUIET;
        if state.warned_at.is_some_and(quiet) {
            state.silent += 1;
            return false;
        }
        state.warned_at = Some(now);
        let repeated = std::mem::take(&mut state.silent);
        drop(state);
        tracing::warn!(
            endpoint = self.endpoint,
            reason,
            waiting,
            repeated,
            "collector does not take spans; calls go on"
        );
        true
    }

    pub(super) fn fine(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut state.failing) {
            return false;
        }
        drop(state);
        tracing::info!(endpoint = self.endpoint, "collector takes spans again");
        true
    }
}

/// A URL may carry a password.
fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority_end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(authority_end);
            let host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn one_line_a_minute_and_one_at_the_end() {
        let alarm = Alarm::new("http://localhost:4317");
        let start = clock::instant();
        assert!(!alarm.fine());
        assert!(alarm.failing(start, "no", 1));
        assert!(!alarm.failing(start + Duration::from_secs(59), "no", 1));
        assert!(alarm.failing(start + Duration::from_secs(60), "no", 1));
        assert!(alarm.fine());
        assert!(!alarm.fine());
    }

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        assert_eq!(
            without_user("http://me:secret@host:1/x@y"),
            "http://host:1/x@y"
        );
        assert_eq!(without_user("http://host:1"), "http://host:1");
    }
}
