//! Takes the name of a job a developer runs. Gives its exit code.
//! Never does work itself: each job lives in the file of its name.
#![expect(
    clippy::print_stdout,
    reason = "a developer's tool speaks on standard output"
)]

mod bench;
mod conformance;
mod demo;
mod env;
mod fuzz;
mod installed;
mod leaks;
mod matrix;
mod started;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Jobs of a developer: run the tests, see the demo, compare, measure, fuzz.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Install what the tests need under target/toolspan-test, then run all of them.
    Test(test::Args),
    /// Real servers, real clients, a store: the whole path in one command.
    Demo(demo::Args),
    /// Every SDK as server and as client, with and without the sidecar: the table README shows.
    Matrix(matrix::Args),
    /// Run the official MCP conformance suite directly and through toolspan, and compare.
    Conformance(conformance::Args),
    /// Measure what a hop costs.
    Bench(bench::Args),
    /// Kill a thousand clients over each transport and look for what is left.
    Leaks(leaks::Args),
    /// Fuzz the scanners and the decoder on stable Rust.
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    if let Some(code) = started::as_launcher().or_else(fuzz::as_compiler_wrapper) {
        return code;
    }
    let outcome = match Cli::parse().job {
        Job::Test(args) => test::run(&args),
        Job::Demo(args) => demo::run(&args),
        Job::Matrix(args) => matrix::run(&args),
        Job::Conformance(args) => conformance::run(&args),
        Job::Bench(args) => bench::run(&args),
        Job::Leaks(args) => leaks::run(&args),
        Job::Fuzz(args) => fuzz::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
