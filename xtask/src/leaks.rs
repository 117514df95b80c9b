//! Takes a number of clients. Gives whether anything is left when so many were killed, over each transport.
//! Never counts by itself: the stories of `tests/it/faults/leaks.rs` do, with this number.

use anyhow::Result;

use crate::env::{self, Env};

/// Kills clients at random points, over each transport; no process, socket or descriptor may be left.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask leaks                   a thousand clients over each transport
  cargo xtask leaks --clients 50      a quick look")]
pub struct Args {
    /// How many clients are killed over each transport.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    clients: u32,
}

pub fn run(args: &Args) -> Result<()> {
    let env = Env::here()?;
    println!("building toolspan");
    env.build_programs(&["toolspan"])?;
    let mut cargo = env.cargo();
    cargo.args([
        "test",
        "--package",
        "tests",
        "--test",
        "it",
        "--",
        "leaks::",
    ]);
    // One transport after another: what is left must be its own.
    cargo.arg("--test-threads=1");
    cargo.env("TOOLSPAN_TEST_CLIENTS", args.clients.to_string());
    env::run(&mut cargo)
}
