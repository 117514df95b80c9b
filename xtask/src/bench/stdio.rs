//! Takes the peers of a hop over pipes. Gives the table of `bench stdio`.
//! Never counts start-up: the first half second of every run is thrown away.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Options;
use super::place::Place;
use super::programs::{Programs, Sink, number, report_of};
use super::table::{Goal, cell, median, row, verdict};
use crate::env::Env;

const ROWS: [&str; 3] = ["direct", "pump", "toolspan"];
const BIG: usize = 10_000_000;

/// On one core only the work counts; anywhere, the scheduler decides whether a message also pays
/// for wake-ups across cores, so those figures do not repeat.
const PLACES: [Place; 2] = [Place::OneCore, Place::Anywhere];

/// One measurement of one row.
struct Run {
    row: &'static str,
    place: usize,
    round: u32,
    report: Value,
    spans_per_call: Option<f64>,
}

pub fn run(options: &Options) -> Result<()> {
    let env = Env::here()?;
    let programs = Programs::build(&env, options)?;
    let sink = Sink::start(&programs)?;
    let mut rows: Vec<&'static str> = ROWS.into_iter().filter(|row| options.wants(row)).collect();
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        println!("round {round} of {}", options.rounds);
        for (place, at) in PLACES.iter().enumerate() {
            at.move_background(sink.pid())?;
            for row in &rows {
                let mut client = client(&programs, options, &sink, row)?;
                let before = sink.spans()?;
                let report = at.start_path(|| report_of(&mut client))?;
                let spans_per_call = match *row {
                    "toolspan" => Some(spans_per_call(&sink, before, &report)?),
                    _ => None,
                };
                runs.push(Run {
                    row,
                    place,
                    round,
                    report,
                    spans_per_call,
                });
            }
        }
        rows.reverse();
    }
    let mut ratios = Vec::new();
    for (place, at) in PLACES.iter().enumerate() {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.place == place).collect();
        println!("\none call at a time over pipes, {}", at.words());
        print_rows(options, &runs);
        ratios.push((*at, added_ratio(&runs), of(&runs, "toolspan", copies)));
    }
    print_verdicts(options, &ratios);
    Ok(())
}

fn spans_per_call(sink: &Sink, before: u64, report: &Value) -> Result<f64> {
    // The call for the big result is not among the calls that were timed.
    let calls = number(report, "calls")? + 1.0;
    Ok(sink.settle(before, calls as u64)? as f64 / calls)
}

fn client(programs: &Programs, options: &Options, sink: &Sink, row: &str) -> Result<Command> {
    let mut client = programs.load("stdio-client")?;
    client.args(["--seconds", &options.seconds.to_string()]);
    client.args(["--big", &BIG.to_string(), "--"]);
    match row {
        "pump" => {
            client.arg(&programs.load).args(["pump", "--"]);
        }
        "toolspan" => {
            let sidecar: &Path = programs.sidecar.as_deref().context("no sidecar")?;
            client.arg(sidecar).args(["stdio", "--tenant", "bench"]);
            client.args(["--otlp-endpoint", &format!("http://{}", sink.address)]);
            client.args(&options.sidecar_arg).arg("--");
        }
        _ => {}
    }
    client.arg(&programs.load).arg("stdio-server");
    Ok(client)
}

fn of(runs: &[&Run], row: &str, figure: impl Fn(&Value) -> Option<f64>) -> Option<f64> {
    let same = runs.iter().filter(|run| run.row == row);
    median(same.filter_map(|run| figure(&run.report)))
}

/// The median over the rounds of what a row adds to the direct one of the same round.
fn added(runs: &[&Run], row: &str, key: &str) -> Option<f64> {
    let differences = runs.iter().filter(|run| run.row == row).filter_map(|run| {
        let direct = runs
            .iter()
            .find(|other| other.row == "direct" && other.round == run.round)?;
        Some(number(&run.report, key).ok()? - number(&direct.report, key).ok()?)
    });
    median(differences)
}

/// The sidecar's added p50 over the pump's.
fn added_ratio(runs: &[&Run]) -> Option<f64> {
    Some(added(runs, "toolspan", "p50_us")? / added(runs, "pump", "p50_us")?)
}

/// How many copies of the big result the hop held, beyond what it holds at rest.
fn copies(report: &Value) -> Option<f64> {
    let get = |key| number(report, key).ok();
    Some((get("peak_kib")? - get("idle_kib")?) * 1024.0 / get("big_bytes")?)
}

fn print_rows(options: &Options, runs: &[&Run]) {
    let headings = [
        "messages/s",
        "p50 us",
        "p99 us",
        "added p50 us",
        "added p99 us",
        "CPU us/call",
        "idle MiB",
        "10 MB copies",
        "spans/call",
    ];
    println!("{}", row("", &headings.map(str::to_owned)));
    for name in ROWS.into_iter().filter(|name| options.wants(name)) {
        let get = |key: &'static str| of(runs, name, |report| number(report, key).ok());
        let only_hop = |value: Option<f64>| value.filter(|_| name != "direct");
        let cpu = of(runs, name, |report| {
            Some(number(report, "cpu_us").ok()? / number(report, "calls").ok()?)
        });
        let same = runs.iter().filter(|run| run.row == name);
        let spans = same.filter_map(|run| run.spans_per_call);
        let cells = [
            cell(get("per_second"), 0),
            cell(get("p50_us"), 1),
            cell(get("p99_us"), 1),
            cell(only_hop(added(runs, name, "p50_us")), 1),
            cell(only_hop(added(runs, name, "p99_us")), 1),
            cell(only_hop(cpu), 1),
            cell(only_hop(get("idle_kib")).map(|kib| kib / 1024.0), 1),
            cell(only_hop(of(runs, name, copies)), 2),
            cell(median(spans), 3),
        ];
        println!("{}", row(name, &cells));
    }
}

fn print_verdicts(options: &Options, ratios: &[(Place, Option<f64>, Option<f64>)]) {
    println!(
        "\nMedians of {} rounds of {} s. Copies: peak memory around one 10 MB result, less memory \
         at rest, over its size.\n",
        options.rounds, options.seconds
    );
    let ratio = ratios.iter().find_map(|(place, ratio, _)| match place {
        Place::OneCore => *ratio,
        Place::Anywhere => None,
    });
    println!(
        "{}",
        verdict(
            "one core: added p50 / the pump's",
            ratio,
            &Goal::AtMost(2.0)
        )
    );
    let copies = ratios.iter().filter_map(|(_, _, copies)| *copies);
    // One copy, and the pages that a buffer of that size may waste.
    let most = copies.reduce(f64::max);
    println!(
        "{}",
        verdict("copies of a 10 MB result", most, &Goal::AtMost(1.1))
    );
}
