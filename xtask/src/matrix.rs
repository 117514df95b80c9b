//! Takes the names of SDKs. Gives the table of what is the same with and without the sidecar in the path.
//! Never judges: the program of the tests does, and its exit code counts.

use anyhow::{Result, bail};

use crate::env::{self, Env, target_dir};
use crate::installed::{Installed, NotRun};

/// Installs the SDKs, then runs each as server and as client over every transport it speaks.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask matrix                      every SDK
  cargo xtask matrix --only python-1      one SDK; may be given several times")]
pub struct Args {
    /// Run only this SDK.
    #[arg(long, value_name = "SDK")]
    only: Vec<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let env = Env::here()?;
    let (mut installed, mut not_run) = (Installed::default(), NotRun::default());
    let what = "Python SDKs";
    installed.note(
        "TOOLSPAN_TEST_PYTHON",
        env.python_with_sdks(),
        what,
        &mut not_run,
    );
    installed.sdks(&env, &mut not_run);
    if !not_run.reasons.is_empty() {
        bail!("not installed: {}", not_run.reasons.join(", "));
    }
    println!("building toolspan and the peers");
    env.build_programs(&["toolspan", "sdk-matrix", "rmcp-sdk"])?;
    let debug = target_dir(&env.root).join("debug");
    let mut matrix = std::process::Command::new(debug.join("sdk-matrix"));
    matrix.args(&args.only);
    matrix.env("TOOLSPAN_BIN", debug.join("toolspan"));
    installed.put_on(&mut matrix);
    env::run(&mut matrix)
}
