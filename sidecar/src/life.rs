//! Takes settings and signals. Gives the life of `toolspan http`: bind, serve, reload, drain.
//! Never serves before everything is bound; a second signal stops at once; a configuration that is wrong changes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::admin::{self, Board};
use crate::clock;
use crate::config::Settings;
use crate::counters::Counters;
use crate::export::ExportSettings;
use crate::hops::{Hops, bind};
use crate::log;
use crate::record::Outcome;

/// Reads the configuration again, from where it was read at the start.
pub type Reread<'a> = &'a dyn Fn() -> anyhow::Result<Settings>;

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum Wish {
    End,
    Reload,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hang_up.recv() => Wish::Reload,
        }
    }

    async fn end(&mut self) {
        while matches!(self.next().await, Wish::Reload) {}
    }
}

/// Runs the hops until a signal, and ends every call that is still open then.
///
/// # Errors
/// When an address cannot be bound.
pub async fn run(
    mut settings: Settings,
    board: &Arc<Board>,
    reread: Reread<'_>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let admin = match &settings.admin {
        Some(address) => Some(bind(address, "--admin").await?),
        None => None,
    };
    let mut hops = Hops::start(&settings, Arc::clone(board)).await?;
    if let Some(listener) = admin {
        info!(address = %listener.address(), "admin listening");
        tokio::spawn(admin::serve(listener, Arc::clone(board)));
    }
    while let Wish::Reload = signals.next().await {
        reload(&mut settings, &mut hops, board, reread).await;
    }
    drain(&settings, &mut hops, board, &mut signals).await;
    for station in board.stations() {
        if let Some(hop) = &station.hop {
            hop.end_all(Outcome::Shutdown, clock::now());
        }
    }
    Ok(())
}

async fn drain(settings: &Settings, hops: &mut Hops, board: &Board, signals: &mut Signals) {
    board.drain();
    info!(
        connections = hops.open_connections(),
        "stopping: open exchanges may end"
    );
    let cut = tokio::select! {
        () = hops.drain() => None,
        () = tokio::time::sleep(settings.drain) => Some("the time to drain is over"),
        () = signals.end() => Some("a second signal"),
    };
    if let Some(reason) = cut {
        warn!(
            reason,
            connections = hops.open_connections(),
            "ending with open streams"
        );
    }
    // A command gets the time to end by itself, unless somebody is in a hurry.
    tokio::select! {
        () = hops.finish() => {}
        () = signals.end() => {}
    }
}

async fn reload(settings: &mut Settings, hops: &mut Hops, board: &Board, reread: Reread<'_>) {
    if let Err(error) = log::reopen() {
        error!(%error, "the log goes on in the old file");
    }
    let counters = &board.counters;
    let outcome = async {
        let mut new = reread()?;
        new.name_hops_anew(settings.telemetry.service_name.as_deref());
        let changes = hops.reload(&new).await?;
        anyhow::Ok((new, changes))
    };
    match outcome.await {
        Ok((new, changes)) => {
            Counters::add(&counters.reloads_ok, 1);
            if new.telemetry.process_tenant != settings.telemetry.process_tenant {
                counters.mixed_tenants.store(true, Ordering::Relaxed);
            }
            for warning in &new.warnings {
                warn!("{warning}");
            }
            info!(
                added = ?changes.added,
                changed = ?changes.changed,
                removed = ?changes.removed,
                unchanged = changes.unchanged,
                "configuration reloaded"
            );
            let waits = needs_restart(settings, &new);
            if !waits.is_empty() {
                warn!(settings = ?waits, "changed settings that take effect at the next start");
            }
            follow(settings, new);
        }
        Err(error) => {
            Counters::add(&counters.reloads_failed, 1);
            error!(
                error = format!("{error:#}"),
                "configuration not reloaded: nothing has changed"
            );
        }
    }
}

/// What has taken effect; the rest stays as it was at the start, so that each reload tells of it again.
fn follow(settings: &mut Settings, new: Settings) {
    settings.drain = new.drain;
    settings.limits = new.limits;
    settings.hops = new.hops;
}

/// Settings that cannot change while we run.
fn needs_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let (was, is) = (&old.telemetry, &new.telemetry);
    let log = |settings: &Settings| settings.log.clone();
    [
        (
            "the collector and its protocol, headers and time-outs",
            !same_target(was, is),
        ),
        ("queue_records and queue_bytes", was.queue != is.queue),
        (
            "metrics_interval_seconds",
            was.metrics_interval != is.metrics_interval,
        ),
        ("log_file, log_format and log_level", log(old) != log(new)),
        ("admin", old.admin != new.admin),
        (
            "max_connections",
            old.limits.max_connections != new.limits.max_connections,
        ),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

fn same_target(was: &ExportSettings, is: &ExportSettings) -> bool {
    was.enabled == is.enabled
        && was.traces == is.traces
        && was.metrics == is.metrics
        && was.headers == is.headers
}
