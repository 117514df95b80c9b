//! Takes the name of one peer of a bench. Gives that peer, cheaper than any hop it measures.
//! Never tests anything: the bench that starts it reads its one line of JSON and judges.

mod client;
mod export;
mod feed;
mod http;
mod kills;
mod listen;
mod otlp;
mod probe;
mod pump;
mod report;
mod scripted;
mod server;
mod session;
mod sink;
mod stdio;
mod streams;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use scripted::hold::Orders;
use session::Endpoint;

/// Peers for `cargo xtask bench`. Servers print `HOST:PORT` and end when their standard input ends.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Peer {
    /// An MCP server over Streamable HTTP that echoes a small JSON answer.
    HttpServer,
    /// Calls an MCP server over HTTP, each connection one call at a time.
    HttpClient {
        #[command(flatten)]
        endpoint: Endpoint,
        /// Shake hands and call within a session, for hops that know no stateless wire.
        #[arg(long)]
        session: bool,
        #[arg(long, default_value_t = 1)]
        connections: usize,
        /// How long to measure, in seconds.
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// How long to call before measuring, in seconds.
        #[arg(long, default_value_t = 0.5)]
        warmup: f64,
    },
    /// An MCP server with sessions and streams, over HTTP, or over pipes with --stdio.
    ScriptedServer {
        #[arg(long)]
        stdio: bool,
        #[command(flatten)]
        orders: Orders,
    },
    /// Says what a hop in front of a scripted server does to a call.
    Carriage {
        #[command(flatten)]
        endpoint: Endpoint,
        /// What the server writes down.
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
    },
    /// Says how long the first event of a stream takes while the server waits before the next.
    FirstEvent {
        #[command(flatten)]
        endpoint: Endpoint,
        /// The socket that the server waits on.
        #[arg(long, value_name = "SOCKET")]
        control: PathBuf,
        #[arg(long, default_value_t = 50)]
        count: u32,
    },
    /// Asks for streams of many events, one after the other.
    Events {
        #[command(flatten)]
        endpoint: Endpoint,
        #[arg(long, default_value_t = 10_000)]
        events: u64,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
    },
    /// Opens streams, says so, and holds them until standard input ends.
    OpenStreams {
        #[command(flatten)]
        endpoint: Endpoint,
        #[arg(long, default_value_t = 10_000)]
        count: usize,
    },
    /// Kills clients in the middle of their streams.
    Kills {
        #[command(flatten)]
        endpoint: Endpoint,
        #[arg(long, value_name = "SOCKET")]
        control: PathBuf,
        #[arg(long, default_value_t = 1000)]
        count: u32,
        /// Clients that are killed together.
        #[arg(long, default_value_t = 10)]
        at_once: u32,
    },
    /// A client that waits for its death.
    Victim {
        #[command(flatten)]
        endpoint: Endpoint,
    },
    /// An MCP server over standard input and output.
    StdioServer,
    /// Spawns COMMAND and calls it over its pipes, one call at a time.
    StdioClient {
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        #[arg(long, default_value_t = 0.5)]
        warmup: f64,
        /// After that, ask for one result of this many bytes and report the memory it took.
        #[arg(long)]
        big: Option<usize>,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Spawns COMMAND and copies bytes both ways, as little as a hop over pipes can do.
    Pump {
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// An OTLP receiver, gRPC and HTTP on one port, that counts spans and keeps nothing.
    Sink,
    /// Sends spans to an OTLP receiver as fast as it takes them.
    Export {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long, default_value_t = 4)]
        connections: usize,
        /// Spans in one export.
        #[arg(long, default_value_t = 512)]
        batch: usize,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
    /// Sends spans to an OTLP receiver at a fixed rate until standard input ends.
    Feed {
        #[arg(long)]
        to: SocketAddr,
        /// Spans per second.
        #[arg(long)]
        rate: f64,
        /// Spans per export.
        #[arg(long, default_value_t = 512)]
        batch: usize,
    },
}

fn main() -> Result<ExitCode> {
    match Cli::parse().peer {
        Peer::HttpServer => on_one_thread(server::run())?,
        Peer::ScriptedServer { stdio, orders } => match stdio {
            true => scripted::stdio::run(&orders)?,
            false => on_one_thread(scripted::http::run(orders))?,
        },
        Peer::Carriage { endpoint, record } => probe::carriage(&endpoint, &record)?,
        Peer::FirstEvent {
            endpoint,
            control,
            count,
        } => probe::first_event(&endpoint, &control, count)?,
        Peer::Events {
            endpoint,
            events,
            seconds,
        } => streams::events(&endpoint, events, seconds)?,
        Peer::OpenStreams { endpoint, count } => on_one_thread(streams::open(endpoint, count))?,
        Peer::Kills {
            endpoint,
            control,
            count,
            at_once,
        } => kills::run(&endpoint, &control, count, at_once)?,
        Peer::Victim { endpoint } => kills::victim(&endpoint)?,
        Peer::HttpClient {
            endpoint,
            session,
            connections,
            seconds,
            warmup,
        } => on_one_thread(client::run(client::Plan {
            endpoint,
            session,
            connections,
            measure: Duration::from_secs_f64(seconds),
            warmup: Duration::from_secs_f64(warmup),
        }))?,
        Peer::StdioServer => stdio::serve()?,
        Peer::StdioClient {
            seconds,
            warmup,
            big,
            command,
        } => stdio::call(&stdio::Plan {
            command,
            measure: Duration::from_secs_f64(seconds),
            warmup: Duration::from_secs_f64(warmup),
            big,
        })?,
        Peer::Pump { command } => return pump::run(&command),
        Peer::Sink => on_one_thread(sink::run())?,
        Peer::Export {
            to,
            connections,
            batch,
            seconds,
        } => on_one_thread(export::run(to, connections, batch, seconds))?,
        Peer::Feed { to, rate, batch } => on_one_thread(feed::run(to, rate, batch))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One thread per peer: the second core is left to the hop.
fn on_one_thread(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?
        .block_on(work)
}
