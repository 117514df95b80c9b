//! Takes the sidecar. Gives the memory it holds with ten thousand event streams open.
//! Never guesses: where the machine's limit on descriptors allows fewer, fewer are open, and it says so.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::programs::{Hop, Programs, Sink};
use super::table::{Goal, verdict};
use super::{Options, proc};
use crate::env::Env;
use crate::started::Started;

const STREAMS: u64 = 10_000;
/// Of each stream the sidecar holds two; the rest is its own.
const SPARE: u64 = 100;
const MIB: f64 = 1024.0;
/// Memory that has not gone down for so long goes down no more.
const SETTLED: Duration = Duration::from_secs(12);
const SETTLE_AT_MOST: Duration = Duration::from_secs(40);

#[derive(clap::Args)]
pub struct Arguments {
    /// Measure this build of the sidecar instead of building one.
    #[arg(long, value_name = "FILE")]
    sidecar: Option<PathBuf>,
    /// One more argument for the sidecar; may be given again.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    sidecar_arg: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let env = Env::here()?;
    let options = Options {
        rounds: 1,
        seconds: 0.0,
        rows: Vec::new(),
        sidecar: arguments.sidecar.clone(),
        sidecar_arg: arguments.sidecar_arg.clone(),
    };
    let programs = Programs::build(&env, &options)?;
    let count = STREAMS.min((descriptors()? - SPARE) / 2);
    let sink = Sink::start(&programs)?;
    let mut server = programs.load("scripted-server")?;
    let (_server, address) = Started::printing_address("scripted-server", server.arg("--forever"))?;
    let sidecar = programs.sidecar.as_ref().context("no sidecar was built")?;
    let hop = Hop::sidecar(sidecar, &programs, &options, address, &sink)?;
    let idle = proc::resident(hop.pid)?;
    let mut client = programs.load("open-streams")?;
    client.args(["--to", &hop.address.to_string()]);
    client.args(["--count", &count.to_string()]);
    let (mut client, line) = Started::printing_line("open-streams", &mut client)?;
    let open = proc::resident(hop.pid)?;
    let settled = settled(hop.pid, open)?;
    println!("\n{}", line.trim());
    client.stop()?;
    let figures = [idle, open, settled].map(|kib| kib as f64 / MIB);
    print(count, figures);
    Ok(())
}

/// Memory once it stops going down: what opening took is given back a moment later.
fn settled(pid: u32, open: u64) -> Result<u64> {
    let (mut least, deadline) = (open, Instant::now() + SETTLE_AT_MOST);
    let mut last_drop = Instant::now();
    while last_drop.elapsed() < SETTLED && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        let now = proc::resident(pid)?;
        if now < least {
            (least, last_drop) = (now, Instant::now());
        }
    }
    Ok(least)
}

/// Raises our own limit, which what we start inherits, as far as it goes.
fn descriptors() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(1 << 20);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(most),
            ..limit
        },
    )?;
    Ok(most)
}

/// The goal holds at the worst moment: all streams are open, and the last have not been idle yet.
fn print(count: u64, [idle, open, settled]: [f64; 3]) {
    if count < STREAMS {
        println!("the limit on descriptors of this machine allows {count} streams, not {STREAMS}");
    }
    let each = (open - idle) / count as f64;
    println!(
        "resident MiB: {idle:.1} idle, {open:.1} with {count} open streams, {:.1} KiB each; {settled:.1} settled\n",
        each * 1024.0
    );
    let all = idle + each * STREAMS as f64;
    println!(
        "{}",
        verdict(
            "resident MiB with 10,000 open streams",
            Some(all),
            &Goal::AtMost(200.0)
        )
    );
}
