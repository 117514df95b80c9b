//! Takes the fuzz targets of `fuzz/`. Gives a verdict over a bounded run of each, on stable Rust.
//! Never reports a run that was blind: a target without coverage counters is a failure.

mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::env::{self, Env};

/// Set for cargo, so that this program knows it is called in place of rustc.
const WRAPPER: &str = "TOOLSPAN_FUZZ_COMPILER";

/// What makes LLVM count edges and report comparisons, as libFuzzer wants them. Only members of the
/// workspace get these, so that every dependency is shared with the ordinary debug build.
const INSTRUMENT: [&str; 10] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Copt-level=1",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
    "--cfg=fuzzing",
];

const TARGETS: [&str; 5] = ["jsonrpc", "line", "sse", "websocket", "otlp"];

/// Builds the fuzz targets with coverage and runs them on a copy of the committed corpus.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                          every target for a minute, two at a time
  cargo xtask fuzz jsonrpc --seconds 600    one target for ten minutes
  cargo xtask fuzz sse --input FILE         run one input again, such as a crash
  cargo xtask fuzz line --keep              add the inputs that reach new code to fuzz/corpus")]
pub struct Args {
    /// The targets to run: jsonrpc, line, sse, otlp; all when none is named.
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Run this one input instead of fuzzing; needs one target.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Afterwards add what reached new code to the committed corpus.
    #[arg(long)]
    keep: bool,
}

/// Cargo calls this program in place of rustc while the fuzz targets are built.
pub fn as_compiler_wrapper() -> Option<ExitCode> {
    std::env::var_os(WRAPPER)?;
    let mut arguments = std::env::args_os().skip(1);
    let compiler = arguments.next()?;
    let arguments: Vec<OsString> = arguments.collect();
    let mut rustc = Command::new(compiler);
    rustc.args(&arguments);
    if links_into_a_target(&arguments) {
        rustc.args(INSTRUMENT);
    }
    let code = rustc.status().ok().and_then(|status| status.code());
    Some(ExitCode::from(
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    ))
}

/// Build scripts and macros run inside the build, where nobody supplies libFuzzer's symbols.
fn links_into_a_target(arguments: &[OsString]) -> bool {
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)?.to_str()
    };
    let name = after("--crate-name").unwrap_or("___");
    name != "___" && name != "build_script_build" && after("--crate-type") != Some("proc-macro")
}

pub fn run(args: &Args) -> Result<()> {
    let env = Env::here()?;
    let targets: Vec<&str> = match args.targets.as_slice() {
        [] => TARGETS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    build(&env, &targets)?;
    if let Some(input) = &args.input {
        let [target] = targets.as_slice() else {
            bail!("--input needs exactly one target");
        };
        return run::one_input(&env, target, input);
    }
    run::all(&env, &targets, args.seconds)?;
    if args.keep {
        for target in &targets {
            run::merge(&env, target)?;
        }
    }
    Ok(())
}

/// Builds every target and runs each for `seconds`; called by `cargo xtask test`.
pub fn run_all(seconds: u64) -> Result<()> {
    let env = Env::here()?;
    build(&env, &TARGETS)?;
    run::all(&env, &TARGETS, seconds)
}

fn build(env: &Env, targets: &[&str]) -> Result<()> {
    println!("building the fuzz targets with coverage");
    // The fuzzing loop is C++ and comes as source with its crate.
    env.debian("c++", "g++")?;
    let mut cargo = env.cargo();
    // As for the tests, within the whole workspace: the same features, so the same dependencies.
    cargo.args(["build", "--quiet", "--workspace"]);
    for target in targets {
        cargo.args(["--bin", &format!("fuzz-{target}")]);
    }
    cargo
        .env(WRAPPER, "1")
        .env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?);
    env::run(&mut cargo)
}
