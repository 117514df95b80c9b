//! Takes the name of a bench. Gives its table, with the figures to reach beside the measured ones.
//! Never compares across runs: every row of a table comes from the same minutes.

mod collector;
mod hop;
mod peers;
mod place;
mod proc;
mod programs;
mod stdio;
mod stream;
mod streams;
mod table;

use std::path::PathBuf;

use anyhow::Result;

/// Measures what a hop costs, against a plain one and against none.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench hop                       HTTP: direct, nginx and toolspan, c = 1, 16, 32
  cargo xtask bench hop --rounds 1            a quick look
  cargo xtask bench hop --rows direct,nginx   without the sidecar
  cargo xtask bench hop --sidecar OLD/toolspan    another build of the sidecar
  cargo xtask bench hop --sidecar-arg=--span-pair
  cargo xtask bench stdio                     pipes: direct, a plain pump and toolspan
  cargo xtask bench peers                     hops of other makers beside ours: what they do to calls
  cargo xtask bench peers --peers direct,toolspan,mcpr --kills 100
  cargo xtask bench stream                    the first event of a stream, and the cost of each
  cargo xtask bench streams                   memory with 10,000 open streams
  cargo xtask bench collector                 OTLP into Parquet, with the log on disk")]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand)]
enum Bench {
    /// A reverse proxy over HTTP: requests/s, latency, CPU per request, memory.
    Hop(Options),
    /// A hop over pipes: time added per message, and the memory that a 10 MB result takes.
    Stdio(Options),
    /// Event streams over HTTP: the delay of the first event, the cost of each of many.
    Stream(Options),
    /// Event streams over HTTP: the memory of ten thousand open ones.
    Streams(streams::Arguments),
    /// Hops of other makers: what they keep, what they inject, what they leave behind, what they cost.
    Peers(peers::Options),
    /// The collector: spans/s and CPU per span, to disk and to the store.
    Collector(collector::Options),
}

#[derive(clap::Args)]
struct Options {
    /// How often every row is measured; medians over the rounds are printed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes.
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    seconds: f64,
    /// Only these rows: direct, nginx or pump, toolspan.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    rows: Vec<String>,
    /// Measure this build of the sidecar instead of building one.
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    /// One more argument for the sidecar; may be given again.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    sidecar_arg: Vec<String>,
}

impl Options {
    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }
}

/// Other work on the machine takes its share from every row, but not the same share.
fn warn_when_busy() -> Result<()> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let load: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    if load > 0.7 {
        println!("the machine is busy (load average {load}): the figures will vary");
    }
    Ok(())
}

pub fn run(args: &Args) -> Result<()> {
    warn_when_busy()?;
    match &args.bench {
        Bench::Hop(options) => hop::run(options),
        Bench::Stdio(options) => stdio::run(options),
        Bench::Stream(options) => stream::run(options),
        Bench::Streams(arguments) => streams::run(arguments),
        Bench::Peers(options) => peers::run(options),
        Bench::Collector(options) => collector::run(options),
    }
}
