//! Takes the word of an operator. Gives whether requests get a context, and whether calls are recorded, from now on.
//! Never needs a restart, and never touches what is already under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// The splice of the trace context into requests.
    Injection,
    /// Records, and what is made of them.
    Telemetry,
}

/// The switches of the process, or of one hop below them: a hop does what both allow.
#[derive(Debug)]
pub struct Switches {
    injection: AtomicBool,
    telemetry: AtomicBool,
    above: Option<Arc<Self>>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            injection: AtomicBool::new(true),
            telemetry: AtomicBool::new(true),
            above: None,
        }
    }
}

impl Switches {
    /// The switches of a hop.
    #[must_use]
    pub fn below(process: &Arc<Self>, injection: bool) -> Self {
        Self {
            injection: AtomicBool::new(injection),
            above: Some(Arc::clone(process)),
            ..Self::default()
        }
    }

    fn of(&self, switch: Switch) -> &AtomicBool {
        match switch {
            Switch::Injection => &self.injection,
            Switch::Telemetry => &self.telemetry,
        }
    }

    /// Whether it is on here and above.
    #[must_use]
    pub fn is_on(&self, switch: Switch) -> bool {
        self.own(switch) && self.above.as_ref().is_none_or(|above| above.own(switch))
    }

    /// Whether it is on here, whatever stands above.
    #[must_use]
    pub fn own(&self, switch: Switch) -> bool {
        self.of(switch).load(Ordering::Relaxed)
    }

    pub fn set(&self, switch: Switch, on: bool) {
        self.of(switch).store(on, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_does_what_both_allow() {
        let process = Arc::new(Switches::default());
        let (one, other) = (
            Switches::below(&process, true),
            Switches::below(&process, false),
        );
        assert!(one.is_on(Switch::Injection) && !other.is_on(Switch::Injection));
        process.set(Switch::Injection, false);
        assert!(!one.is_on(Switch::Injection) && one.own(Switch::Injection));
        assert!(one.is_on(Switch::Telemetry) && other.is_on(Switch::Telemetry));
        one.set(Switch::Telemetry, false);
        assert!(!one.is_on(Switch::Telemetry) && other.is_on(Switch::Telemetry));
    }
}
