//! Takes the name of a path. Gives what the official conformance suite finds directly and on it, side by side.
//! Never judges: the program `conformance` of the tests does, as the tests themselves do.

use anyhow::{Context, Result};

use crate::env::{self, Env};

/// Runs the official MCP conformance suite directly and through toolspan, and prints every difference.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask conformance                                 one hop, both revisions, servers and clients
  cargo xtask conformance --path chain                    two hops
  cargo xtask conformance --requirements 2026-07-28 --mode server")]
pub struct Args {
    /// What stands between client and server: sidecar; chain, two hops with HTTP/2 and TLS between; bridge, a hop that
    /// serves standard input and output.
    #[arg(long, value_name = "NAME", default_value = "sidecar")]
    path: String,
    /// Only the scenarios that this revision requires: 2025-11-25 or 2026-07-28.
    #[arg(long, value_name = "REV")]
    requirements: Option<String>,
    /// Only the suite's scenarios for a server, or for a client.
    #[arg(long, value_name = "SIDE")]
    mode: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let env = Env::here()?;
    let python = env.python().context("the fixtures need Python")?;
    let node_dir = env.node_dir().context("the suite needs Node")?;
    println!("building toolspan and the suite's peers");
    env.build_programs(&["toolspan", "conformance"])?;
    let debug = env::target_dir(&env.root).join("debug");
    let only = args.requirements.iter().chain(&args.mode);
    let mut report = std::process::Command::new(debug.join("conformance"));
    report
        .args(["report", &args.path])
        .args(only)
        .env("TOOLSPAN_BIN", debug.join("toolspan"))
        .env("TOOLSPAN_TEST_PYTHON", python)
        .env("TOOLSPAN_TEST_NODE_DIR", node_dir);
    env::run(&mut report)
}
