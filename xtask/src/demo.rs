//! Takes the arguments of `cargo xtask demo`. Gives its result.
//! Never claims more than it does: it is not filled in yet and says so.

#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("`cargo xtask demo` is not filled in yet")
}
