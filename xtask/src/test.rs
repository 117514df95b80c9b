//! Takes a checkout and what the machine has. Gives one verdict over everything that can be checked.
//! Never skips in silence: what could not run is listed with its reason at the end, and fails the run.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::env::{self, Env};
use crate::fuzz;
use crate::installed::{Installed, NotRun};

/// Installs what the tests need, builds both programs, runs every test, then fuzzes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test                        everything, as CI does
  cargo xtask test --no-fuzz              without the fuzz targets
  cargo xtask test --filter stdio         only tests whose name contains `stdio`, no fuzzing
  cargo xtask test --fuzz-seconds 600     fuzz each target for ten minutes")]
pub struct Args {
    /// Run only tests whose name contains this; leaves the fuzz targets out.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Leave the fuzz targets out.
    #[arg(long)]
    no_fuzz: bool,
    /// How long each fuzz target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    fuzz_seconds: u64,
    /// Install what the tests need and stop there.
    #[arg(long)]
    install_only: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let env = Env::here()?;
    let mut not_run = NotRun::default();
    let installed = install(&env, &mut not_run);
    if args.install_only {
        return verdict(Vec::new(), &not_run, started);
    }
    let mut failures = Vec::new();
    if let Err(error) = run_tests(&env, args, &installed) {
        failures.push(format!("tests: {error:#}"));
    }
    if args.no_fuzz || args.filter.is_some() {
        println!("fuzz targets left out, as asked");
    } else if let Err(error) = fuzz::run_all(args.fuzz_seconds) {
        failures.push(format!("fuzz: {error:#}"));
    }
    verdict(failures, &not_run, started)
}

fn install(env: &Env, not_run: &mut NotRun) -> Installed {
    let mut installed = Installed::default();
    let python = env
        .python_with_sdks()
        .and_then(|_| env.python_with_engine());
    let what = "tests with Python peers and with the ClickHouse engine";
    installed.note("TOOLSPAN_TEST_PYTHON", python, what, not_run);
    installed.sdks(env, not_run);
    if let Err(why) = env.debian("strace", "strace") {
        not_run.note("the proof by system-call trace", &why);
    }
    installed
}

fn run_tests(env: &Env, args: &Args, installed: &Installed) -> Result<()> {
    let (sidecar, collector) = env.programs()?;
    let mut cargo = env.cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    // Most stories wait for peers, not for a core; what a caller chose stays.
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        cargo.env("RUST_TEST_THREADS", "4");
    }
    cargo.env("TOOLSPAN_BIN", sidecar);
    cargo.env("TOOLSPAN_COLLECTOR_BIN", collector);
    installed.put_on(&mut cargo);
    if let Some(filter) = &args.filter {
        cargo.args(["--", filter]);
    }
    env::run(&mut cargo)
}

fn verdict(failures: Vec<String>, not_run: &NotRun, started: Instant) -> Result<()> {
    for reason in &not_run.reasons {
        println!("NOT RUN  {reason}");
    }
    for failure in &failures {
        println!("FAILED   {failure}");
    }
    println!("took {} s", started.elapsed().as_secs());
    if failures.is_empty() && not_run.reasons.is_empty() {
        return Ok(());
    }
    bail!(
        "{} failed, {} could not run",
        failures.len(),
        not_run.reasons.len()
    )
}
