//! Takes the tables of open calls, wherever they are. Gives how many calls are open now, and how many for too long.
//! Counts when somebody asks, and only then: a call that opens or ends does nothing for it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::clock::Moment;
use crate::record::names;
use crate::record::names::table::Metric;

/// Calls that wait for their answer.
pub trait Waiting: Debug + Send + Sync {
    fn open(&self) -> u64;
    /// Those that have waited for longer than their hop calls long.
    fn long(&self, now: Moment) -> u64;
}

/// The tables of all hops of the process, for as long as each is in use.
#[derive(Debug, Default)]
pub struct Tables(Mutex<Vec<Weak<dyn Waiting>>>);

impl Tables {
    /// A hop begins.
    pub fn add(&self, table: Weak<dyn Waiting>) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|table| table.strong_count() > 0);
        tables.push(table);
    }

    fn sum(&self, of: impl Fn(&dyn Waiting) -> u64) -> u64 {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tables: Vec<Arc<_>> = tables.iter().filter_map(Weak::upgrade).collect();
        tables.iter().map(|table| of(&**table)).sum()
    }
}

/// What there are so many of now: what it is called, and how it is counted.
pub struct Level {
    pub metric: Metric,
    pub now: fn(&Tables, Moment) -> u64,
}

/// What is exported of the tables.
pub const LEVELS: [Level; 2] = [
    Level {
        metric: names::CALLS_OPEN,
        now: |tables, _| tables.sum(|table| table.open()),
    },
    Level {
        metric: names::CALLS_LONG,
        now: |tables, now| tables.sum(|table| table.long(now)),
    },
];
