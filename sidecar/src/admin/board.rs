//! Takes what the process runs: its hops, its counters, its switches. Gives them to the admin listener to look at.
//! Never owns anything that serves: a hop that is gone from here still ends by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{self, Moment};
use crate::counters::{Counters, Gauge};
use crate::export::Telemetry;
use crate::session::Hop;
use crate::switches::{Switch, Switches};

/// One hop as an operator sees it.
#[derive(Debug)]
pub struct Station {
    pub name: String,
    pub switches: Arc<Switches>,
    pub connections: Arc<Gauge>,
    /// None under the kill switch: nothing is observed.
    pub hop: Option<Arc<Hop>>,
}

/// All that an operator may look at or switch.
#[derive(Debug)]
pub struct Board {
    pub counters: Arc<Counters>,
    pub telemetry: Telemetry,
    /// Those of the process, above those of each hop.
    pub switches: Arc<Switches>,
    pub started: Moment,
    draining: AtomicBool,
    stations: Mutex<Vec<Arc<Station>>>,
}

impl Board {
    #[must_use]
    pub fn new(counters: Arc<Counters>, telemetry: Telemetry, switches: Arc<Switches>) -> Self {
        Self {
            counters,
            telemetry,
            switches,
            started: clock::now(),
            draining: AtomicBool::new(false),
            stations: Mutex::default(),
        }
    }

    /// All listeners are bound before anyone can ask, so the only time we are not ready is the end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the hop does it: switched on, and able to.
    #[must_use]
    pub fn is_on(&self, which: Switch, station: &Station) -> bool {
        let able = match which {
            Switch::Injection => true,
            Switch::Telemetry => self.telemetry.exports(),
        };
        able && station.hop.is_some() && station.switches.is_on(which)
    }

    /// Every hop that serves or drains, in the order they began.
    #[must_use]
    pub fn stations(&self) -> Vec<Arc<Station>> {
        self.lock().clone()
    }

    pub fn add(&self, station: Arc<Station>) {
        self.lock().push(station);
    }

    pub fn remove(&self, station: &Arc<Station>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, station));
    }

    /// Puts a hop under its new settings in the place of the old.
    pub fn replace(&self, old: &Arc<Station>, new: Arc<Station>) {
        for station in self.lock().iter_mut() {
            if Arc::ptr_eq(station, old) {
                *station = Arc::clone(&new);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Station>>> {
        self.stations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
