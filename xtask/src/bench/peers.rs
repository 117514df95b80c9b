//! Takes the hops of other makers. Gives one table of what each does to calls, streams and dead clients.
//! Never hides one that fails: a peer that cannot be installed or does not work is named with its reason.

mod adapter;
mod install;
mod leaks;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use self::adapter::{Kind, Running};
use self::install::Store;
use self::leaks::Holding;
use super::programs::{Programs, Sink, number, report_of};
use crate::env::Env;

#[derive(clap::Args)]
pub struct Options {
    /// How often the load is measured; medians over the rounds are printed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each load takes.
    #[arg(long, value_name = "S", default_value_t = 1.5)]
    seconds: f64,
    /// How many clients are killed.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kills: u32,
    /// Only these: direct, toolspan, mcpr, mcp-proxy-rs, toolspan-bridge, mcp-proxy-py, supergateway.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    peers: Vec<String>,
    /// Measure this build of the sidecar instead of building one.
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
}

/// So many calls at once.
const LOADS: [u32; 2] = [1, 16];
/// What a peer opens only once it is used must not count as a leak.
const WARM_UP_KILLS: u32 = 20;
/// Idle limits of sessions are shorter than this.
const QUIET: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(15);

/// What one load measured: calls/s, p50 and p99 in us.
#[derive(Clone, Copy)]
struct Load {
    connections: u32,
    per_second: f64,
    p50: f64,
    p99: f64,
}

/// Everything that was found out about one peer.
struct Finding {
    kind: Kind,
    running: Option<Running>,
    /// Why it could not be installed or started.
    broken: Option<String>,
    carriage: Result<Value>,
    first_event: Result<Value>,
    loads: Vec<Result<Load>>,
    leak: Result<[usize; 3]>,
}

pub fn run(options: &Options) -> Result<()> {
    let env = Env::here()?;
    let programs = Programs::with_sidecar(&env, options.sidecar.as_ref(), true)?;
    let store = Store::new(&env)?;
    let sink = Sink::start(&programs)?;
    let mut findings: Vec<Finding> = Kind::ALL
        .into_iter()
        .filter(|kind| options.wants(*kind))
        .map(|kind| Finding::of(kind, &store, &programs, &sink))
        .collect();
    for finding in findings.iter_mut().filter(|finding| finding.works()) {
        println!("{}: what it does to calls and streams", finding.kind.name());
        finding.probe(&programs);
    }
    for round in 1..=options.rounds {
        println!("load, round {round} of {}", options.rounds);
        for finding in findings.iter_mut().filter(|finding| finding.works()) {
            finding.load(&programs, options.seconds);
        }
        findings.reverse();
    }
    findings.sort_by_key(|finding| Kind::ALL.iter().position(|kind| *kind == finding.kind));
    kill_clients(&mut findings, &programs, options.kills);
    report::print(&findings, options);
    Ok(())
}

impl Options {
    fn wants(&self, kind: Kind) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|peer| peer == kind.name())
    }
}

fn kill_clients(findings: &mut [Finding], programs: &Programs, kills: u32) {
    let with_hop = |finding: &&mut Finding| finding.works() && finding.kind != Kind::Direct;
    for finding in findings.iter_mut().filter(with_hop) {
        // Its failure shows again when the kills are counted.
        let _warm_up = finding.kill(programs, WARM_UP_KILLS);
    }
    std::thread::sleep(QUIET);
    for finding in findings.iter_mut().filter(with_hop) {
        println!("{}: {kills} killed clients", finding.kind.name());
        finding.leak = finding.leak_of(programs, kills);
    }
}

impl Finding {
    fn of(kind: Kind, store: &Store, programs: &Programs, sink: &Sink) -> Self {
        let (running, broken) = match Running::start(kind, store, programs, sink) {
            Ok(running) => (Some(running), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Self {
            kind,
            running,
            broken,
            carriage: not_measured(),
            first_event: not_measured(),
            loads: Vec::new(),
            leak: not_measured(),
        }
    }

    fn works(&self) -> bool {
        self.running.is_some()
    }

    /// A load client's report about this peer.
    fn ask(&self, programs: &Programs, client: &str, more: &[&str]) -> Result<Value> {
        let running = self.running.as_ref().context("it does not run")?;
        let mut command = programs.load(client)?;
        command.args(running.endpoint()).args(more);
        for (flag, path) in [
            ("--record", &running.record),
            ("--control", &running.control),
        ] {
            if takes(client, flag) {
                command.arg(flag).arg(path);
            }
        }
        report_of(&mut command)
    }

    fn probe(&mut self, programs: &Programs) {
        self.carriage = self.ask(programs, "carriage", &[]);
        self.first_event = self.ask(programs, "first-event", &[]);
    }

    fn load(&mut self, programs: &Programs, seconds: f64) {
        for connections in LOADS {
            let load = self.load_once(programs, connections, seconds);
            self.loads.push(load);
        }
    }

    fn load_once(&self, programs: &Programs, connections: u32, seconds: f64) -> Result<Load> {
        let (number_of, seconds) = (connections.to_string(), seconds.to_string());
        let more = [
            "--session",
            "--connections",
            &number_of,
            "--seconds",
            &seconds,
        ];
        let report = self.ask(programs, "http-client", &more)?;
        Ok(Load {
            connections,
            per_second: number(&report, "per_second")?,
            p50: number(&report, "p50_us")?,
            p99: number(&report, "p99_us")?,
        })
    }

    fn kill(&self, programs: &Programs, count: u32) -> Result<Value> {
        self.ask(programs, "kills", &["--count", &count.to_string()])
    }

    /// Processes, sockets and descriptors more than before.
    fn leak_of(&self, programs: &Programs, kills: u32) -> Result<[usize; 3]> {
        let running = self.running.as_ref().context("it does not run")?;
        let root = running.process.as_ref().context("it has no process")?.pid();
        let mark = Some(&*running.record).filter(|_| self.kind.bridges());
        let before = Holding::of(root, mark)?;
        self.kill(programs, kills)?;
        let after = Holding::settle(before, root, mark, PATIENCE)?;
        Ok([
            after.processes.saturating_sub(before.processes),
            after.sockets.saturating_sub(before.sockets),
            after.descriptors.saturating_sub(before.descriptors),
        ])
    }
}

fn not_measured<T>() -> Result<T> {
    Err(anyhow::anyhow!("not measured"))
}

/// Which clients know which flag.
fn takes(client: &str, flag: &str) -> bool {
    match flag {
        "--record" => client == "carriage",
        _ => matches!(client, "first-event" | "kills"),
    }
}
