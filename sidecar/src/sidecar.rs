//! The whole path. Takes settings; gives a wrapped command or a set of reverse proxies, observed.
//!
//! ```text
//! bytes   tap/      a pipe or a connection delivers them, and they go on
//! frames  frame/    a scanner finds the JSON-RPC messages in them
//! calls   session/  a request opens one, whatever ends it closes it
//! context trace/    its parent is found, its own context spliced into the request
//! record  record/   what is known of it at its end
//! OTLP    export/   spans and points, queued and sent by a thread of its own
//! ```
//!
//! Never waits for telemetry: a call's record is dropped, and counted, before a byte of traffic is late.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tracing::error;

use crate::admin::Board;
use crate::config::Settings;
use crate::counters::Counters;
use crate::export::{ExportSettings, Telemetry, TelemetryOwner};
use crate::hops::{hop_info, new_hop};
use crate::life::{self, Reread};
use crate::log;
use crate::switches::{Switch, Switches};
use crate::tap::stdio;
use crate::tap::stdio::guard::{self, Exit};
use crate::trace::Carrier;

/// What open calls and queued spans get at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs a command between a client and its standard streams. The process must have one thread.
///
/// # Errors
/// When pipes or threads cannot be set up.
pub fn run_stdio(settings: Settings, command: &[OsString]) -> anyhow::Result<ExitCode> {
    let guard = guard::spawn(command).context("cannot make a process for the command")?;
    let counters = Arc::new(Counters::default());
    let switches = Arc::new(Switches::default());
    switches.set(Switch::Injection, settings.stdio.inject);
    let (telemetry, owner) = start_telemetry(settings.telemetry, &counters, &switches);
    let hop = Arc::new(new_hop(
        hop_info(&settings.stdio),
        &settings.stdio,
        Arc::new(settings.stdio.tenant.clone().into()),
        settings.limits.max_open_calls,
        telemetry,
        &switches,
    ));
    hop.set_long_after(settings.limits.long_call_after);
    let env = |name: &str| std::env::var(name).ok();
    let parent = Carrier::read(env("TRACEPARENT").as_deref(), env("TRACESTATE").as_deref());
    let exit = stdio::run(guard, &hop, parent)?;
    if let Some(owner) = owner {
        owner.finish(FLUSH);
    }
    log::summary(&counters);
    if let Exit::NotStarted(code) = exit {
        let name = command
            .first()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        error!(command = %name, reason = %std::io::Error::from_raw_os_error(code), "cannot start the command");
    }
    Ok(ExitCode::from(exit.code()))
}

/// Runs the hops that listen until a signal; a second signal ends at once. `reread` gives the settings anew.
///
/// # Errors
/// When an address cannot be bound.
pub fn run_http(settings: Settings, reread: Reread<'_>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let disabled = settings.disabled;
    let counters = Arc::new(Counters::default());
    let switches = Arc::new(Switches::default());
    let (telemetry, owner) = if disabled {
        (Telemetry::without_export(Arc::clone(&counters)), None)
    } else {
        start_telemetry(settings.telemetry.clone(), &counters, &switches)
    };
    let board = Arc::new(Board::new(Arc::clone(&counters), telemetry, switches));
    runtime.block_on(life::run(settings, &board, reread))?;
    if let Some(owner) = owner {
        owner.finish(FLUSH);
    }
    if !disabled {
        log::summary(&counters);
    }
    Ok(ExitCode::SUCCESS)
}

/// An exporter that cannot be made costs the spans, never the traffic.
fn start_telemetry(
    settings: ExportSettings,
    counters: &Arc<Counters>,
    switches: &Arc<Switches>,
) -> (Telemetry, Option<TelemetryOwner>) {
    match Telemetry::start(settings, Arc::clone(counters), Arc::clone(switches)) {
        Ok((telemetry, owner)) => (telemetry, Some(owner)),
        Err(error) => {
            error!(%error, "nothing will be exported; traffic goes on");
            (Telemetry::without_export(Arc::clone(counters)), None)
        }
    }
}
