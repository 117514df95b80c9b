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
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::clock;
use crate::config::{HopCommon, HopSettings, Settings};
use crate::counters::Counters;
use crate::export::{ExportSettings, Telemetry, TelemetryOwner};
use crate::log;
use crate::record::{HopInfo, Outcome};
use crate::session::Hop;
use crate::tap::http::{Front, Proxy, Upstream, serve};
use crate::tap::stdio;
use crate::tap::stdio::guard::{self, Exit};
use crate::trace::Carrier;

/// What open calls and queued spans get at the end.
const FLUSH: Duration = Duration::from_secs(1);
/// How long streams may go on after the first signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs a command between a client and its standard streams. The process must have one thread.
///
/// # Errors
/// When pipes or threads cannot be set up.
pub fn run_stdio(settings: Settings, command: &[OsString]) -> anyhow::Result<ExitCode> {
    let guard = guard::spawn(command).context("cannot make a process for the command")?;
    let counters = Arc::new(Counters::default());
    let (telemetry, owner) = start_telemetry(settings.telemetry, &counters);
    let info = HopInfo {
        network_transport: "pipe",
        network_protocol_name: None,
        network_protocol_version: None,
        server_address: None,
        server_port: None,
        ..hop_info(&settings.stdio)
    };
    let hop = Arc::new(new_hop(
        info,
        &settings.stdio,
        settings.limits.max_open_calls,
        telemetry,
    ));
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

/// Runs the reverse proxies until a signal; a second signal ends at once.
///
/// # Errors
/// When an address cannot be bound.
pub fn run_http(settings: Settings) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let counters = Arc::new(Counters::default());
    let (telemetry, owner) = if settings.disabled {
        (Telemetry::without_export(Arc::clone(&counters)), None)
    } else {
        start_telemetry(settings.telemetry.clone(), &counters)
    };
    let hops = runtime.block_on(run_hops(&settings, &telemetry))?;
    for hop in hops {
        hop.end_all(Outcome::Shutdown, clock::now());
    }
    if let Some(owner) = owner {
        owner.finish(FLUSH);
    }
    if !settings.disabled {
        log::summary(&counters);
    }
    Ok(ExitCode::SUCCESS)
}

/// An exporter that cannot be made costs the spans, never the traffic.
fn start_telemetry(
    settings: ExportSettings,
    counters: &Arc<Counters>,
) -> (Telemetry, Option<TelemetryOwner>) {
    match Telemetry::start(settings, Arc::clone(counters)) {
        Ok((telemetry, owner)) => (telemetry, Some(owner)),
        Err(error) => {
            error!(%error, "nothing will be exported; traffic goes on");
            (Telemetry::without_export(Arc::clone(counters)), None)
        }
    }
}

async fn run_hops(settings: &Settings, telemetry: &Telemetry) -> anyhow::Result<Vec<Arc<Hop>>> {
    let (stop, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    let mut hops = Vec::new();
    for hop in &settings.hops {
        let listener = bind(hop.listen).await?;
        let address = listener.local_addr()?;
        let proxy = Arc::new(proxy(hop, settings, telemetry));
        hops.extend(proxy.hop.clone());
        info!(%address, upstream = %proxy.upstream.authority(), "listening");
        if let Some(file) = &hop.port_file {
            write_port_file(file, address)?;
        }
        serving.spawn(serve(listener, Front::Proxy(proxy), stopped.clone()));
    }
    drop(stopped);
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping: open exchanges may end");
    stop.send_replace(true);
    let drained = async { while serving.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => {}
        () = tokio::time::sleep(DRAIN) => warn!(after = ?DRAIN, "ending with open streams"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(hops)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is another program there? choose another address with --listen")
    })
}

/// Written beside and renamed, so that who waits for it never reads half of it.
fn write_port_file(file: &std::path::Path, address: SocketAddr) -> anyhow::Result<()> {
    let beside = file.with_extension("tmp");
    std::fs::write(&beside, format!("{address}\n"))
        .and_then(|()| std::fs::rename(&beside, file))
        .with_context(|| format!("cannot write the port file {}", file.display()))
}

fn proxy(settings: &HopSettings, all: &Settings, telemetry: &Telemetry) -> Proxy {
    let upstream = Upstream {
        host: settings.upstream.host.clone(),
        port: settings.upstream.port,
        connect_timeout: all.limits.connect_timeout,
    };
    let info = HopInfo {
        server_address: Some(upstream.host.as_str().into()),
        server_port: Some(upstream.port),
        ..hop_info(&settings.common)
    };
    let hop = (!all.disabled).then(|| {
        let max = all.limits.max_open_calls;
        Arc::new(new_hop(info, &settings.common, max, telemetry.clone()))
    });
    Proxy { hop, upstream }
}

fn hop_info(common: &HopCommon) -> HopInfo {
    HopInfo {
        side: common.side,
        span_pair: common.span_pair,
        network_transport: "tcp",
        network_protocol_name: Some("http"),
        network_protocol_version: Some("1.1"),
        server_address: None,
        server_port: None,
        service_name: common.service_name.clone(),
    }
}

fn new_hop(info: HopInfo, common: &HopCommon, max_open_calls: usize, telemetry: Telemetry) -> Hop {
    Hop::new(
        info,
        common.tenant.clone(),
        common.max_inject_bytes,
        max_open_calls,
        telemetry,
    )
}
