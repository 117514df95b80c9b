//! Takes the peers of an HTTP hop. Gives the table of `bench hop`.
//! Never measures a row alone: rounds alternate them, and each has the same background.

mod report;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::place::Place;
use super::programs::{Buffering, Hop, Programs, Sink, number, report_of};
use super::{Options, proc};
use crate::env::Env;
use crate::started::Started;

const ROWS: [&str; 3] = ["direct", "nginx", "toolspan"];

/// How many connections call at once, and where the processes run.
struct Case {
    connections: usize,
    place: Place,
}

/// One call at a time is measured twice: a wake-up across cores costs more than a hop's work, and
/// whether there is one is the scheduler's mood, so only the one-core figures repeat.
const CASES: [Case; 4] = [
    Case {
        connections: 1,
        place: Place::OneCore,
    },
    Case {
        connections: 1,
        place: Place::Anywhere,
    },
    Case {
        connections: 16,
        place: Place::Anywhere,
    },
    Case {
        connections: 32,
        place: Place::Anywhere,
    },
];
const ALONE: usize = 0;
const LOADED: usize = 2;
const CROWDED: usize = 3;

/// One measurement of one row.
#[derive(Clone)]
struct Run {
    row: &'static str,
    case: usize,
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
    server_process: Started,
    nginx: Option<Hop>,
    sidecar: Option<Hop>,
    /// Spans per second that the sidecar exported last, by case.
    rates: [Option<f64>; CASES.len()],
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
            true => Some(Hop::nginx(env, &programs, server, Buffering::Default)?),
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
            server_process: process,
            nginx,
            sidecar,
            rates: [None; CASES.len()],
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
        let mut rows: Vec<&'static str> = ROWS
            .into_iter()
            .filter(|row| self.options.wants(row))
            .collect();
        if self.sidecar.is_some() {
            for case in 0..CASES.len() {
                self.run_row("toolspan", case, 0, 1.0)?;
            }
            self.runs.clear();
        }
        for hop in [&self.nginx, &self.sidecar].into_iter().flatten() {
            proc::reset_peak(hop.pid)?;
        }
        for round in 1..=self.options.rounds {
            println!("round {round} of {}", self.options.rounds);
            for case in 0..CASES.len() {
                for row in &rows {
                    self.run_row(row, case, round, self.options.seconds)?;
                }
            }
            rows.reverse();
        }
        Ok(())
    }

    fn run_row(&mut self, row: &'static str, case: usize, round: u32, seconds: f64) -> Result<()> {
        let Case { connections, place } = CASES.get(case).context("no such case")?;
        let hop = match row {
            "nginx" => self.nginx.as_ref(),
            "toolspan" => self.sidecar.as_ref(),
            _ => None,
        };
        self.move_to(*place, hop)?;
        let exports = row == "toolspan";
        let _feed = match self.rates.get(case).copied().flatten() {
            Some(rate) if !exports => Some(self.feed(*place, rate)?),
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
        let report = place.start_path(|| report_of(&mut client))?;
        let calls = number(&report, "calls")?;
        let per_second = number(&report, "per_second")?;
        let mut spans_per_call = None;
        if exports {
            let spans = self.sink.settle(spans_before, calls as u64)? as f64;
            spans_per_call = Some(spans / calls);
            if let Some(rate) = self.rates.get_mut(case) {
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
            case,
            round,
            per_second,
            p50: number(&report, "p50_us")?,
            p99: number(&report, "p99_us")?,
            cpu,
            spans_per_call,
        });
        Ok(())
    }

    fn move_to(&self, place: Place, hop: Option<&Hop>) -> Result<()> {
        place.move_path(self.server_process.pid())?;
        place.move_background(self.sink.pid())?;
        hop.map_or(Ok(()), |hop| place.move_path(hop.pid))
    }

    fn feed(&self, place: Place, rate: f64) -> Result<Started> {
        let mut command = self.programs.load("feed")?;
        command.args(["--to", &self.sink.address.to_string()]);
        command.args(["--rate", &rate.to_string()]);
        let feed = Started::spawn("feed", &mut command)?;
        place.move_background(feed.pid())?;
        Ok(feed)
    }
}
