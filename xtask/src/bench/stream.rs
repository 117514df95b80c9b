//! Takes the peers of an HTTP hop. Gives the table of `bench stream`: the first event, and each of ten thousand.
//! Never lets an answer's end push its beginning out: the server waits for the client before it goes on.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::place::Place;
use super::programs::{Buffering, Hop, Programs, Sink, number, report_of};
use super::table::{Goal, cell, median, row, verdict};
use super::{Options, proc};
use crate::env::Env;
use crate::started::Started;

const ROWS: [&str; 3] = ["direct", "nginx", "toolspan"];
const EVENTS: u32 = 10_000;
/// First events in one round.
const STREAMS: u32 = 300;

/// One round of one row, in us: the first event, and of many events what each costs.
struct Run {
    row: &'static str,
    round: u32,
    first: f64,
    per_second: f64,
    cpu: Option<f64>,
}

struct Bench<'a> {
    options: &'a Options,
    programs: Programs,
    server: SocketAddr,
    server_process: Started,
    nginx: Option<Hop>,
    sidecar: Option<Hop>,
    runs: Vec<Run>,
}

pub fn run(options: &Options) -> Result<()> {
    let env = Env::here()?;
    let programs = Programs::build(&env, options)?;
    let sink = Sink::start(&programs)?;
    let mut command = programs.load("scripted-server")?;
    command
        .arg("--control")
        .arg(programs.scratch.join("control"));
    let (server_process, server) = Started::printing_address("scripted-server", &mut command)?;
    let nginx = match options.wants("nginx") {
        true => Some(Hop::nginx(&env, &programs, server, Buffering::Off)?),
        false => None,
    };
    let sidecar = match &programs.sidecar {
        Some(path) => Some(Hop::sidecar(path, &programs, options, server, &sink)?),
        None => None,
    };
    let mut bench = Bench {
        options,
        programs,
        server,
        server_process,
        nginx,
        sidecar,
        runs: Vec::new(),
    };
    bench.measure()?;
    bench.print();
    Ok(())
}

impl Bench<'_> {
    fn measure(&mut self) -> Result<()> {
        let mut rows: Vec<&'static str> = ROWS
            .into_iter()
            .filter(|row| self.options.wants(row))
            .collect();
        Place::OneCore.move_path(self.server_process.pid())?;
        // Round 0 warms every row up and is thrown away.
        for round in 0..=self.options.rounds {
            println!("round {round} of {}", self.options.rounds);
            for name in &rows {
                let run = self.run_row(name, round)?;
                self.runs.extend(Some(run).filter(|_| round > 0));
            }
            rows.reverse();
        }
        Ok(())
    }

    fn run_row(&self, name: &'static str, round: u32) -> Result<Run> {
        let hop = match name {
            "nginx" => self.nginx.as_ref(),
            "toolspan" => self.sidecar.as_ref(),
            _ => None,
        };
        if let Some(hop) = hop {
            Place::OneCore.move_path(hop.pid)?;
        }
        let to = hop.map_or(self.server, |hop| hop.address);
        let control = self.programs.scratch.join("control");
        let control = control.to_str().context("a path that is no text")?;
        let streams = STREAMS.to_string();
        let first = self.ask(
            "first-event",
            to,
            &["--control", control, "--count", &streams],
        )?;
        let before = hop.map(|hop| proc::cpu(hop.pid)).transpose()?;
        let (events, seconds) = (EVENTS.to_string(), self.options.seconds.to_string());
        let many = self.ask("events", to, &["--events", &events, "--seconds", &seconds])?;
        let cpu = match (hop, before) {
            (Some(hop), Some(before)) => {
                let spent = proc::cpu(hop.pid)? - before;
                Some(spent.as_secs_f64() * 1e6 / number(&many, "events")?)
            }
            _ => None,
        };
        Ok(Run {
            row: name,
            round,
            first: number(&first, "median_us")?,
            per_second: number(&many, "per_second")?,
            cpu,
        })
    }

    fn ask(&self, client: &str, to: SocketAddr, more: &[&str]) -> Result<Value> {
        let mut command = self.programs.load(client)?;
        command.args(["--to", &to.to_string()]).args(more);
        Place::OneCore.start_path(|| report_of(&mut command))
    }

    fn of(&self, name: &str, figure: fn(&Run) -> Option<f64>) -> Option<f64> {
        let same = self.runs.iter().filter(|run| run.row == name);
        median(same.filter_map(figure))
    }

    /// The median over the rounds of a figure of ours over nginx's in the same round.
    fn ratio(&self, figure: fn(&Run) -> Option<f64>) -> Option<f64> {
        let of = |row: &'static str, round| {
            let mut runs = self.runs.iter();
            figure(runs.find(|run| run.row == row && run.round == round)?)
        };
        let rounds = 1..=self.options.rounds;
        median(rounds.filter_map(|round| Some(of("toolspan", round)? / of("nginx", round)?)))
    }

    fn print(&self) {
        println!("\none stream at a time, {}", Place::OneCore.words());
        let headings = ["first us", "added us", "events/s", "CPU us/event"];
        println!("{}", row("", &headings.map(str::to_owned)));
        let direct = self.of("direct", |run| Some(run.first));
        for name in ROWS.into_iter().filter(|row| self.options.wants(row)) {
            let first = self.of(name, |run| Some(run.first));
            let added = first.zip(direct).map(|(own, direct)| own - direct);
            let cells = [
                cell(first, 1),
                cell(added.filter(|_| name != "direct"), 1),
                cell(self.of(name, |run| Some(run.per_second)), 0),
                cell(self.of(name, |run| run.cpu), 2),
            ];
            println!("{}", row(name, &cells));
        }
        println!(
            "\nMedians of {} rounds: of {STREAMS} first events each, and of streams of {EVENTS} events for {} s.\n",
            self.options.rounds, self.options.seconds
        );
        println!(
            "{}",
            verdict(
                "first event / nginx's, unbuffered",
                self.ratio(|run| Some(run.first)),
                &Goal::AtMost(1.3)
            )
        );
    }
}
