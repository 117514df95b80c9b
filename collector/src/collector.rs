//! Takes OTLP exports from the receivers.
//! Gives them a place in the log, then in every sink: OTLP -> batch -> WAL -> blocks -> rows per tenant.
//! Never answers before the log is durable, and never lets one sink wait for another.
//!
//! The whole path: [`Collector::accept`] is the way in, [`run`] joins it to the pumps, each pump is the way out to its
//! sink. Tenants are found in each row when it is encoded, by the rule in [`crate::tenant`].

mod sinks;
mod start;

#[cfg(test)]
mod tests;

use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::ledger::{Ledger, Refused};
use crate::otlp::{self, Signal};
use crate::receive::memory::Memory;
use crate::receive::{self, Accepted, Intake, Protocol, Received, Refusal, listen};
use crate::shutdown::{Stop, stop};
use crate::wal::{AppendError, Draft, Log, Seq, StoreLock};
use crate::{clock, pump};

pub use start::{StartError, Started};

/// The way in: from a received body to a durable entry.
pub struct Collector {
    log: Log,
    memory: Memory,
    ledger: Arc<Ledger>,
}

/// A well-formed export: how many of its items are stored, and how many are refused one by one.
struct Admitted {
    draft: Draft,
    partial: Accepted,
}

/// An export whose entry is on disk. There is no other way to one than the log's answer.
struct Durable {
    seq: Option<Seq>,
    signal: Signal,
    items: u64,
    partial: Accepted,
}

impl Collector {
    /// `memory` is in bytes: what exports may hold until they are durable.
    pub fn new(log: Log, ledger: Arc<Ledger>, memory: u64) -> Self {
        let memory = Memory::new(memory);
        Self {
            log,
            memory,
            ledger,
        }
    }

    fn admit(received: Received, received_at_unix_nanos: u64) -> Result<Admitted, Refusal> {
        let Received { signal, body } = received;
        let checked = otlp::check(signal, &body)
            .map_err(|malformed| Refusal::Malformed(malformed.to_string()))?;
        let draft = Draft {
            received_at_unix_nanos,
            signal,
            items: checked.accepted,
            body,
        };
        Ok(Admitted {
            draft,
            partial: Accepted {
                rejected: checked.rejected,
                reason: checked.reason,
            },
        })
    }

    async fn make_durable(log: &Log, admitted: Admitted) -> Result<Durable, Refusal> {
        let Admitted { draft, partial } = admitted;
        let (signal, items) = (draft.signal, draft.items);
        // Nothing to store needs no entry: clients send empty exports to see whether somebody is there.
        let seq = if items == 0 {
            None
        } else {
            Some(log.append_durable(draft).await.map_err(refusal_of)?)
        };
        Ok(Durable {
            seq,
            signal,
            items,
            partial,
        })
    }
}

impl Intake for Collector {
    async fn accept(&self, received: Received) -> Result<Accepted, Refusal> {
        let admitted = Self::admit(received, clock::unix_nanos())?;
        let (log, ledger) = (self.log.clone(), Arc::clone(&self.ledger));
        // A task of its own: a handler is dropped when its client hangs up, and what is stored must be counted.
        let storing = tokio::spawn(async move {
            let durable = Self::make_durable(&log, admitted).await?;
            tracing::trace!(seq = ?durable.seq, items = durable.items, "export is durable");
            ledger.accept(durable.signal, durable.items, durable.partial.rejected);
            Ok(durable.partial)
        });
        storing
            .await
            .unwrap_or_else(|error| Err(Refusal::Unavailable(error.to_string())))
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn refused(&self, refusal: &Refusal) {
        self.ledger.refuse(match refusal {
            Refusal::Malformed(_) => Refused::Malformed,
            Refusal::TooLarge { .. } => Refused::TooLarge,
            Refusal::Full => Refused::LogFull,
            Refusal::Busy => Refused::Busy,
            Refusal::Unavailable(_) => Refused::LogUnavailable,
            _ => Refused::Protocol,
        });
    }

    fn metrics(&self) -> String {
        self.ledger.refresh(&self.log);
        self.ledger.prometheus()
    }
}

fn refusal_of(error: AppendError) -> Refusal {
    match error {
        AppendError::Full { .. } => Refusal::Full,
        AppendError::TooLarge { limit, .. } => Refusal::TooLarge { limit },
        AppendError::Unavailable { what } => Refusal::Unavailable(what.to_string()),
    }
}

/// The two sockets, bound before the store is opened: a taken port is the commonest mistake.
struct Ports {
    grpc: (TcpListener, SocketAddr),
    http: (TcpListener, SocketAddr),
}

impl Ports {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            grpc: listen::listen("--otlp-grpc", &config.otlp_grpc, config.allow_public).await?,
            http: listen::listen("--otlp-http", &config.otlp_http, config.allow_public).await?,
        })
    }
}

/// Exports of the largest size that may be in memory at once; of smaller ones, accordingly more.
const EXPORTS: u64 = 4;

/// Each step of the end may take this long.
const DEADLINE: Duration = Duration::from_secs(5);

/// Runs a collector until the word to stop, and what then remains to be done within the deadlines.
///
/// The lock is the caller's to keep until the process ends: what was cut off may still be writing.
pub async fn run(config: Config, mut stopped: Stop) -> Result<StoreLock, StartError> {
    let ports = Ports::bind(&config).await?;
    let Started {
        lock,
        log,
        writer,
        ledger,
        mut pumps,
        pumps_stopper,
    } = start::start(&config).await?;
    let memory = config.limits().max_export_bytes.saturating_mul(EXPORTS);
    let collector = Arc::new(Collector::new(log, Arc::clone(&ledger), memory));
    let (receivers_stopper, receivers_stop) = stop();
    announce(&config, &ports)?;

    let mut receivers = JoinSet::new();
    for (protocol, (listener, _)) in [(Protocol::Grpc, ports.grpc), (Protocol::Http, ports.http)] {
        let (intake, limits) = (Arc::clone(&collector), config.limits());
        receivers.spawn(receive::serve(
            listener,
            protocol,
            limits,
            intake,
            receivers_stop.clone(),
        ));
    }
    let failed = tokio::select! {
        () = stopped.wait() => None,
        ended = pumps.join_next() => Some(StartError::Pump(match ended {
            Some(Err(error)) => error.to_string(),
            _ => "the log's writer is gone".into(),
        })),
    };

    receivers_stopper.stop();
    let answered = ended(&mut receivers).await;
    pumps_stopper.stop();
    let drained = ended(&mut pumps).await;
    ledger.refresh(&collector.log);
    report_end(&ledger, answered, drained);
    drop(collector);
    let writing = tokio::task::spawn_blocking(move || writer.join());
    if tokio::time::timeout(DEADLINE, writing).await.is_err() {
        tracing::warn!("the disk does not take the last exports; they were not acknowledged");
    }
    match failed {
        None => Ok(lock),
        Some(error) => {
            // Not dropped, for the same reason.
            let _ = ManuallyDrop::new(lock);
            Err(error)
        }
    }
}

/// Waits for the tasks, and cuts off those that take too long. True when none did.
async fn ended(tasks: &mut JoinSet<()>) -> bool {
    let all = async { while tasks.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(DEADLINE, all).await.is_ok();
    // Nobody waits for them: a task that hangs on a disk cannot be cut off before that returns.
    tasks.abort_all();
    in_time
}

fn announce(config: &Config, ports: &Ports) -> Result<(), StartError> {
    let (grpc, http) = (ports.grpc.1, ports.http.1);
    tracing::info!(%grpc, %http, store = %config.store.display(), version = env!("CARGO_PKG_VERSION"), "listening");
    let Some(path) = &config.port_file else {
        return Ok(());
    };
    let text = format!("grpc {grpc}\nhttp {http}\n");
    pump::cursor::replace_file(path, text.as_bytes()).map_err(|source| StartError::Io {
        action: "write the port file",
        path: path.clone(),
        source,
    })
}

fn report_end(ledger: &Ledger, answered: bool, drained: bool) {
    if !answered {
        tracing::warn!(
            "some requests were not answered in time; their clients will send them again"
        );
    }
    for sink in &ledger.sinks {
        let pending = sink.pending.get();
        if pending > 0 {
            tracing::warn!(
                sink = sink.name,
                pending,
                "not all is stored yet; it stays in the log for the next start"
            );
        }
    }
    tracing::info!(drained, ledger = %ledger.line(), "stopped");
}
