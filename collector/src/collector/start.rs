//! Takes the configuration.
//! Gives an open store: locked, its log replayed, a pump running for each sink.
//! Never serves anybody: that begins when all of this is there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::sinks;
use crate::clock;
use crate::config::Config;
use crate::ledger::{Ledger, SinkLedger};
use crate::pump::cursor::{Cursor, CursorError};
use crate::pump::deadletter::DeadLetters;
use crate::pump::watermarks::Watermarks;
use crate::pump::{BlockLimits, Pump};
use crate::receive::listen::ListenError;
use crate::shutdown::{Stop, Stopper, stop};
use crate::sink::Sink;
use crate::wal::{
    Birth, LockError, Log, LogId, OpenError, Options, Progress, RealDisk, Recovered, Seq,
    StoreLock, WriterThread, create_folder_durable, sync_folder,
};

/// Why the collector does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("a pump ended unexpectedly, what it had not stored stays in the log: {0}")]
    Pump(String),
}

/// A collector that only lacks its receivers.
pub struct Started {
    pub lock: StoreLock,
    pub log: Log,
    pub writer: WriterThread,
    pub ledger: Arc<Ledger>,
    pub pumps: JoinSet<()>,
    pub pumps_stopper: Stopper,
}

/// A log with the cursors of its sinks.
pub struct Opened {
    lock: StoreLock,
    log: Log,
    writer: WriterThread,
    sinks: Vec<Position>,
}

/// Where one sink begins.
struct Position {
    cursor: Cursor,
    consumed: Progress,
    pending_items: u64,
}

/// Opens the store and starts the pumps.
pub async fn start(config: &Config) -> Result<Started, StartError> {
    let names = sinks::names(config);
    let (store, options, wanted) = (config.store.clone(), config.log_options(), names.clone());
    let opening = tokio::task::spawn_blocking(move || open_store(&store, options, &wanted));
    let Opened {
        lock,
        log,
        writer,
        sinks: positions,
    } = opening
        .await
        .map_err(|error| StartError::Pump(error.to_string()))??;

    let counters = names.iter().zip(&positions).map(|(name, position)| {
        let counters = SinkLedger::new(name);
        counters.replayed.set(position.pending_items);
        counters.settled.set(position.consumed.items);
        counters
    });
    let ledger = Arc::new(Ledger::new(counters.collect()));
    let stored = positions
        .iter()
        .map(|position| position.cursor.stored())
        .collect();
    let marks = Arc::new(Watermarks::new(log.clone(), stored));
    let (pumps_stopper, pumps_stop) = stop();
    let mut spawner = Spawner {
        store: config.store.clone(),
        log: log.clone(),
        ledger: Arc::clone(&ledger),
        marks,
        stop: pumps_stop,
        pumps: JoinSet::new(),
        positions: positions.into_iter(),
        place: 0,
    };
    sinks::spawn(config, &mut spawner)?;
    Ok(Started {
        lock,
        log,
        writer,
        ledger,
        pumps: spawner.pumps,
        pumps_stopper,
    })
}

/// Starts a pump for each sink, in the order of the positions.
pub struct Spawner {
    store: PathBuf,
    log: Log,
    ledger: Arc<Ledger>,
    marks: Arc<Watermarks>,
    stop: Stop,
    pumps: JoinSet<()>,
    positions: std::vec::IntoIter<Position>,
    place: usize,
}

impl Spawner {
    pub fn spawn<S: Sink>(&mut self, sink: S) {
        let Some(position) = self.positions.next() else {
            return;
        };
        let pump = Pump {
            dead: DeadLetters::new(self.store.join("deadletter").join(sink.name())),
            sink: Arc::new(sink),
            log: self.log.clone(),
            cursor: position.cursor,
            limits: BlockLimits::default(),
            ledger: Arc::clone(&self.ledger),
            marks: Arc::clone(&self.marks),
            place: self.place,
            consumed: position.consumed,
            reader: None,
        };
        self.place = self.place.saturating_add(1);
        self.pumps.spawn(pump.run(self.stop.clone()));
    }
}

/// Locks the store, makes its folders, opens the log and the cursors of the sinks with these names.
fn open_store(
    store: &Path,
    options: Options,
    names: &[&'static str],
) -> Result<Opened, StartError> {
    make_folders(store)?;
    let lock = StoreLock::take(store)?;
    let cursors = names
        .iter()
        .map(|name| Cursor::open(store.join("cursors").join(format!("{name}.json"))));
    let cursors: Vec<Cursor> = cursors.collect::<Result<_, _>>()?;
    let floor = cursors
        .iter()
        .map(Cursor::highest)
        .max()
        .unwrap_or_default();
    let new_id = clock::random_id().map_err(|source| StartError::Io {
        action: "read",
        path: "/dev/urandom".into(),
        source,
    })?;
    let birth = Birth {
        new_id: LogId(new_id),
        now_unix_nanos: clock::unix_nanos(),
        floor,
    };

    let stored: Vec<Seq> = cursors.iter().map(Cursor::stored).collect();
    let mut consumed = vec![Progress::default(); cursors.len()];
    let (log, writer, recovered) = Log::open(
        RealDisk,
        &store.join("wal"),
        options,
        birth,
        &mut |seq, bytes, items| {
            for (sum, stored) in consumed.iter_mut().zip(&stored) {
                if seq <= *stored {
                    sum.add(seq, bytes, items);
                }
            }
        },
    )?;
    report_recovered(&recovered);
    let total = *log.progress().borrow();
    let sinks = names.iter().zip(cursors).zip(consumed);
    let sinks = sinks.map(|((name, mut cursor), mut consumed)| {
        if let Some(missed) = cursor.bind(log.id(), log.first()) {
            tracing::warn!(
                sink = name, first = %missed.first, last = %missed.last,
                "entries left the log while this sink was not configured; it does not have them"
            );
        }
        consumed.last = cursor.stored();
        Position {
            cursor,
            consumed,
            pending_items: total.items.saturating_sub(consumed.items),
        }
    });
    Ok(Opened {
        lock,
        sinks: sinks.collect(),
        log,
        writer,
    })
}

/// Makes the folders of a store, and their names durable: a synced log under a lost name is lost.
fn make_folders(store: &Path) -> Result<(), StartError> {
    for folder in [
        store.to_owned(),
        store.join("wal"),
        store.join("cursors"),
        store.join("deadletter"),
    ] {
        create_folder_durable(&folder).map_err(|source| StartError::Io {
            action: "make the folder",
            path: folder,
            source,
        })?;
    }
    // A start that ended between a new name and its sync left it for this one to sync.
    sync_folder(store).map_err(|source| StartError::Io {
        action: "sync the folder",
        path: store.to_owned(),
        source,
    })?;
    if let Some(parent) = store.parent()
        && let Err(error) = sync_folder(parent)
    {
        // Whoever made the store beforehand may not let this process read what is above it.
        tracing::warn!(path = %parent.display(), %error, "cannot sync the folder that holds the store");
    }
    Ok(())
}

fn report_recovered(recovered: &Recovered) {
    let Recovered {
        segments,
        entries,
        next,
        torn_bytes,
        damage,
    } = recovered;
    tracing::info!(segments, entries, next = %next, "log opened");
    if *torn_bytes > 0 {
        tracing::warn!(
            torn_bytes,
            "cut the end of the log: it was being written at the crash and not acknowledged"
        );
    }
    for damage in damage {
        tracing::error!(
            path = %damage.path.display(), offset = damage.offset, bytes = damage.bytes, after = %damage.after,
            "the log is damaged here; the entries in these bytes are lost"
        );
    }
}
