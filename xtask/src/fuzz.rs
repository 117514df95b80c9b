//! Takes the arguments of `cargo xtask fuzz`. Gives its result.
//! Never claims more than it does: it is not filled in yet and says so.

use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {}

/// Cargo calls this program in place of rustc while the fuzz targets are built.
pub fn as_compiler_wrapper() -> Option<ExitCode> {
    None
}

pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("`cargo xtask fuzz` is not filled in yet")
}

/// Builds every target and runs each for `seconds`; called by `cargo xtask test`.
pub fn run_all(_seconds: u64) -> anyhow::Result<()> {
    anyhow::bail!("`cargo xtask fuzz` is not filled in yet")
}
