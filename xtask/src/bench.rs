//! Takes the arguments of `cargo xtask bench`. Gives its result.
//! Never claims more than it does: it is not filled in yet and says so.

#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("`cargo xtask bench` is not filled in yet")
}
