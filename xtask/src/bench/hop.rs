//! Takes the peers of an HTTP hop. Gives the table of `bench hop`.
//! Never measures a row alone: rounds alternate them, and each has the same background.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::peers::{Hop, Programs, Sink, number, report_of};
use super::table::{Goal, cell, median, row, verdict};
use super::{Options, proc};
use crate::env::Env;
use crate::started::Started;

const CONNECTIONS: [usize; 2] = [1, 16];
const MIB: f64 = 1024.0;

/// One measurement of one row.
#[derive(Clone)]
struct Run {
    row: &'static str,
    connections: usize,
    round: u32,
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu: Option<f64>,
    spans_per_call: Option<f64>,
}

/// Everything that stays up while the rows are measured.
struct Bench<'a> {
    options: &'a Options,
    programs: Programs,
    sink: Sink,
    server: SocketAddr,
    _server: Started,
    nginx: Option<Hop>,
    sidecar: Option<Hop>,
    /// Spans per second that the sidecar exported last, by number of connections.
    rates: [Option<f64>; 2],
    runs: Vec<Run>,
}

pub fn run(options: &Options) -> Result<()> {
    let env = Env::here()?;
    let programs = Programs::build(&env, options)?;
    let mut bench = Bench::start(&env, options, programs)?;
    let idle = bench.idle_memory()?;
    bench.measure()?;
    let peak = bench.peak_memory()?;
    bench.print_rows();
    bench.print_verdicts(idle, peak)
}

impl<'a> Bench<'a> {
    fn start(env: &Env, options: &'a Options, programs: Programs) -> Result<Self> {
        let sink = Sink::start(&programs)?;
        let (process, server) = programs.server("http-server")?;
        let nginx = match options.wants("nginx") {
            true => Some(Hop::nginx(env, &programs, server)?),
            false => None,
        };
        let sidecar = match &programs.sidecar {
            Some(path) => Some(Hop::sidecar(path, &programs, options, server, &sink)?),
            None => None,
        };
        Ok(Self {
            options,
            programs,
            sink,
            server,
            _server: process,
            nginx,
            sidecar,
            rates: [None; 2],
            runs: Vec::new(),
        })
    }

    /// Resident memory of nginx's worker and of the sidecar before any call, in KiB.
    fn idle_memory(&self) -> Result<[Option<u64>; 2]> {
        // What start-up leaves behind is let go of in the first second.
        std::thread::sleep(Duration::from_secs(1));
        self.memory(proc::resident)
    }

    fn peak_memory(&self) -> Result<[Option<u64>; 2]> {
        self.memory(proc::peak)
    }

    fn memory(&self, read: fn(u32) -> Result<u64>) -> Result<[Option<u64>; 2]> {
        let of = |hop: &Option<Hop>| hop.as_ref().map(|hop| read(hop.pid)).transpose();
        Ok([of(&self.nginx)?, of(&self.sidecar)?])
    }

    fn measure(&mut self) -> Result<()> {
        let mut rows: Vec<&'static str> = ["direct", "nginx", "toolspan"]
            .into_iter()
            .filter(|row| self.options.wants(row))
            .collect();
        if self.sidecar.is_some() {
            for index in 0..CONNECTIONS.len() {
                self.run_row("toolspan", index, 0, 1.0)?;
            }
            self.runs.clear();
        }
        for hop in [&self.nginx, &self.sidecar].into_iter().flatten() {
            proc::reset_peak(hop.pid)?;
        }
        for round in 1..=self.options.rounds {
            println!("round {round} of {}", self.options.rounds);
            for index in 0..CONNECTIONS.len() {
                for row in &rows {
                    self.run_row(row, index, round, self.options.seconds)?;
                }
            }
            rows.reverse();
        }
        Ok(())
    }

    fn run_row(&mut self, row: &'static str, index: usize, round: u32, seconds: f64) -> Result<()> {
        let connections = *CONNECTIONS.get(index).context("no such number")?;
        let hop = match row {
            "nginx" => self.nginx.as_ref(),
            "toolspan" => self.sidecar.as_ref(),
            _ => None,
        };
        let exports = row == "toolspan";
        let _feed = match self.rates.get(index).copied().flatten() {
            Some(rate) if !exports => Some(self.feed(rate)?),
            _ => None,
        };
        let cpu_before = hop.map(|hop| proc::cpu(hop.pid)).transpose()?;
        let spans_before = self.sink.spans()?;
        let mut client = self.programs.load("http-client")?;
        client.args([
            "--to",
            &hop.map_or(self.server, |hop| hop.address).to_string(),
        ]);
        client.args(["--connections", &connections.to_string()]);
        client.args(["--seconds", &seconds.to_string()]);
        let report = report_of(&mut client)?;
        let calls = number(&report, "calls")?;
        let per_second = number(&report, "per_second")?;
        let mut spans_per_call = None;
        if exports {
            let spans = self.sink.settle(spans_before, calls as u64)? as f64;
            spans_per_call = Some(spans / calls);
            if let Some(rate) = self.rates.get_mut(index) {
                *rate = Some(per_second * spans / calls);
            }
        }
        let cpu = match (hop, cpu_before) {
            (Some(hop), Some(before)) => {
                Some((proc::cpu(hop.pid)? - before).as_secs_f64() * 1e6 / calls)
            }
            _ => None,
        };
        self.runs.push(Run {
            row,
            connections,
            round,
            per_second,
            p50: number(&report, "p50_us")?,
            p99: number(&report, "p99_us")?,
            cpu,
            spans_per_call,
        });
        Ok(())
    }

    fn feed(&self, rate: f64) -> Result<Started> {
        let mut command = self.programs.load("feed")?;
        command.args(["--to", &self.sink.address.to_string()]);
        command.args(["--rate", &rate.to_string()]);
        Started::spawn("feed", &mut command)
    }

    fn of(&self, row: &str, connections: usize, figure: fn(&Run) -> Option<f64>) -> Option<f64> {
        let runs = self.runs.iter();
        median(
            runs.filter(|run| run.row == row && run.connections == connections)
                .filter_map(figure),
        )
    }

    /// The median over the rounds of what a row adds to the direct one of the same round.
    fn added_p50(&self, row: &str, connections: usize) -> Option<f64> {
        let same = |name: &'static str| {
            self.runs
                .iter()
                .filter(move |run| run.row == name && run.connections == connections)
        };
        let runs = self.runs.iter();
        let added = runs
            .filter(|run| run.row == row && run.connections == connections)
            .filter_map(|run| {
                let direct = same("direct").find(|direct| direct.round == run.round)?;
                Some(run.p50 - direct.p50)
            });
        median(added)
    }

    fn print_rows(&self) {
        let headings = [
            "requests/s",
            "p50 us",
            "p99 us",
            "added p50 us",
            "CPU us/req",
            "spans/req",
        ];
        for connections in CONNECTIONS {
            println!("\nc = {connections}");
            println!("{}", row("", &headings.map(str::to_owned)));
            for name in ["direct", "nginx", "toolspan"] {
                if !self.options.wants(name) {
                    continue;
                }
                let cells = [
                    cell(self.of(name, connections, |run| Some(run.per_second)), 0),
                    cell(self.of(name, connections, |run| Some(run.p50)), 1),
                    cell(self.of(name, connections, |run| Some(run.p99)), 1),
                    match name {
                        "direct" => cell(None, 0),
                        _ => cell(self.added_p50(name, connections), 1),
                    },
                    cell(self.of(name, connections, |run| run.cpu), 1),
                    cell(self.of(name, connections, |run| run.spans_per_call), 3),
                ];
                println!("{}", row(name, &cells));
            }
        }
        println!(
            "\nMedians of {} rounds of {} s. Every row had a receiver fed with as many spans as \
             toolspan exported.",
            self.options.rounds, self.options.seconds
        );
    }

    fn print_verdicts(&self, idle: [Option<u64>; 2], peak: [Option<u64>; 2]) -> Result<()> {
        let ratio = |figure: fn(&Run) -> Option<f64>| {
            Some(self.of("toolspan", 16, figure)? / self.of("nginx", 16, figure)?)
        };
        let added = self
            .added_p50("toolspan", 1)
            .zip(self.added_p50("nginx", 1))
            .map(|(ours, nginx)| ours / nginx);
        let mib = |kib: Option<u64>| kib.map(|kib| kib as f64 / MIB);
        let [nginx_idle, idle] = idle.map(mib);
        let [nginx_peak, peak] = peak.map(mib);
        let size = match &self.programs.sidecar {
            Some(path) => Some(megabytes(path)?),
            None => None,
        };
        println!(
            "\nresident memory, MiB: nginx worker {} idle, {} peak; toolspan {} idle, {} peak\n",
            cell(nginx_idle, 1),
            cell(nginx_peak, 1),
            cell(idle, 1),
            cell(peak, 1)
        );
        let figures = [
            (
                "c = 16: CPU per request / nginx's",
                ratio(|run| run.cpu),
                Goal::AtMost(1.8),
            ),
            (
                "c = 16: requests/s / nginx's",
                ratio(|run| Some(run.per_second)),
                Goal::AtLeast(0.6),
            ),
            (
                "c = 1: added p50 / nginx's added p50",
                added,
                Goal::AtMost(1.5),
            ),
            ("resident memory idle, MiB", idle, Goal::AtMost(16.0)),
            (
                "peak resident memory under load, MiB",
                peak,
                Goal::AtMost(24.0),
            ),
            ("stripped release binary, MB", size, Goal::AtMost(15.0)),
        ];
        for (name, value, goal) in figures {
            println!("{}", verdict(name, value, &goal));
        }
        Ok(())
    }
}

fn megabytes(path: &Path) -> Result<f64> {
    let length = fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    Ok(length as f64 / 1e6)
}
