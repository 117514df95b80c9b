//! Takes the collector's release build. Gives spans a second, CPU per span and memory, with its log on disk.
//! Never compares with a peer of another run: the peers' recorded figures are printed as what they are.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::proc;
use super::programs::{Programs, build, number, report_of};
use super::table::{cell, median, row};
use crate::env::{self, Env};
use crate::started::{self, Started};

#[derive(clap::Args)]
pub struct Options {
    /// How often it is measured; medians over the rounds are printed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes.
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    /// Measure this build of the collector instead of building one, which takes a quarter of an hour.
    #[arg(long, value_name = "FILE")]
    collector: Option<PathBuf>,
    /// One more argument for the collector; may be given again.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    collector_arg: Vec<String>,
}

/// One round: spans/s as acknowledged, CPU us per span until all is stored, MiB, p50 and p99 of an export.
#[derive(Clone, Copy)]
struct Round {
    per_second: f64,
    cpu: f64,
    peak: f64,
    p50: f64,
    p99: f64,
    stored_per_second: f64,
}

pub fn run(options: &Options) -> Result<()> {
    let env = Env::here()?;
    println!("building the load programs (release)");
    build(&env, "load")?;
    let release = env::target_dir(&env.root).join("release");
    let collector = match &options.collector {
        Some(given) => given.clone(),
        None => {
            println!("building toolspan-collector (release)");
            build(&env, "toolspan-collector")?;
            release.join("toolspan-collector")
        }
    };
    let programs = Programs::of(&env, release.join("load"))?;
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        println!("round {number} of {}", options.rounds);
        rounds.push(round(&collector, &programs, options)?);
    }
    print(&rounds);
    Ok(())
}

fn round(collector: &PathBuf, programs: &Programs, options: &Options) -> Result<Round> {
    let store = programs.scratch.join("collector-store");
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    let port_file = programs.scratch.join("collector.port");
    if port_file.exists() {
        fs::remove_file(&port_file)?;
    }
    let mut command = started::command(collector)?;
    command.arg("serve").arg("--store").arg(&store);
    command.args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]);
    command
        .args(["--log-level", "warn"])
        .arg("--port-file")
        .arg(&port_file);
    command.args(&options.collector_arg);
    let mut process = Started::spawn("toolspan-collector", &mut command)?;
    let ports = process.wait_for_file(&port_file)?;
    let address = |name: &str| -> Result<String> {
        ports
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|rest| rest.trim().to_owned())
            .with_context(|| format!("no {name} in the port file"))
    };
    let (pid, began, cpu) = (process.pid(), Instant::now(), proc::cpu(process.pid())?);
    let mut client = programs.load("export")?;
    client.args(["--to", &address("grpc")?]);
    client.args(["--seconds", &options.seconds.to_string()]);
    let report = report_of(&mut client)?;
    let spans = number(&report, "spans")?;
    wait_until_stored(&address("http")?, spans)?;
    let took = began.elapsed();
    let cpu = proc::cpu(pid)? - cpu;
    Ok(Round {
        per_second: number(&report, "spans_per_second")?,
        cpu: cpu.as_secs_f64() * 1e6 / spans,
        peak: proc::peak(pid)? as f64 / 1024.0,
        p50: number(&report, "p50_us")? / 1000.0,
        p99: number(&report, "p99_us")? / 1000.0,
        stored_per_second: spans / took.as_secs_f64(),
    })
}

/// Reads the ledger that the collector serves until every sink has stored what was acknowledged.
fn wait_until_stored(http: &str, spans: f64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let ledger = get(http, "/metrics")?;
        let stored: Vec<f64> = ledger
            .lines()
            .filter(|line| line.contains("sink_stored_items_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        if !stored.is_empty() && stored.iter().all(|stored| *stored >= spans) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{spans} spans were acknowledged, but the sinks have stored {stored:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn get(address: &str, path: &str) -> Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn print(rounds: &[Round]) {
    let column = |of: fn(&Round) -> f64, digits| cell(median(rounds.iter().map(of)), digits);
    println!("\nOTLP over gRPC, 512 spans an export, 4 connections, fsync before the answer");
    let names = [
        "acked/s",
        "stored/s",
        "CPU us/span",
        "peak MiB",
        "p50 ms",
        "p99 ms",
    ];
    println!("{}", row("", &names.map(str::to_owned)));
    println!(
        "{}",
        row(
            "collector",
            &[
                column(|r| r.per_second, 0),
                column(|r| r.stored_per_second, 0),
                column(|r| r.cpu, 2),
                column(|r| r.peak, 0),
                column(|r| r.p50, 2),
                column(|r| r.p99, 2),
            ]
        )
    );
    println!(
        "\nRecorded of peers on such a machine, other runs: df_engine with WAL to ClickHouse 6.07 us/span, without\n\
         4.24; Rotel to ClickHouse 6.43; to Parquet df_engine 5.9, otlp2parquet 7.7, Rotel 19.2 (none durable)."
    );
}
