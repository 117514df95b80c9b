//! Takes the process's arguments and environment. Gives a running hop, or one line that says why not.
//! Never starts a thread before the wrapped command has its guard.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};

use anyhow::Context;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use toolspan::cli::{Action, Cli, Command, Http, Stdio, wrapped_command};
use toolspan::config::{self, Layer, Mode, Settings, Sources};
use toolspan::record::names;
use toolspan::tap::stdio::guard;
use toolspan::{log, sidecar};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a mistake in the configuration ends with.
const USAGE: u8 = 2;
/// As shells say that a command cannot be run.
const CANNOT_RUN: u8 = 126;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if config::is_disabled(&env)
        && let Some(command) = wrapped_command(&args)
    {
        return become_command(command);
    }
    if let [_program, word, rest @ ..] = args.as_slice()
        && word == guard::WORD
    {
        return guard::run_apart(rest);
    }
    match run(Cli::parse_from(args)) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(USAGE)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Stdio(stdio) => run_stdio(stdio),
        Command::Http(http) => run_http(http),
        Command::Config(config) => run_config(config.action),
        Command::Names => {
            say(&names::table::print())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_stdio(stdio: Stdio) -> anyhow::Result<ExitCode> {
    let file = stdio.common.config.clone();
    let mut settings = load(stdio.common.layer(), file, Mode::Stdio)?;
    settings.name_after_command(&stdio.command);
    open_log(&settings)?;
    sidecar::run_stdio(settings, &stdio.command)
}

fn run_http(http: Http) -> anyhow::Result<ExitCode> {
    let file = http.common.config.clone();
    let mut flags = http.common.layer();
    http.listener.add_to(&mut flags);
    http.bridge.add_to(&mut flags);
    let read = || {
        let mut settings = load(flags.clone(), file.clone(), Mode::Http)?;
        settings.name_after_upstreams();
        // Nobody else writes to our stderr here, and who starts a proxy wants to see where it listens.
        settings.log.level.get_or_insert(tracing::Level::INFO);
        Ok(settings)
    };
    let settings = read()?;
    open_log(&settings)?;
    raise_file_limit();
    sidecar::run_http(settings, &read)
}

/// The soft limit is often 1024, and an open stream has two descriptors.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    guard::note_file_limit(limit);
    let Rlimit { current, maximum } = limit;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(?current, ?maximum, %error, "cannot raise the limit of open files");
    }
}

fn run_config(action: Action) -> anyhow::Result<ExitCode> {
    let (given, prints) = match action {
        Action::Print(given) => (given, true),
        Action::Check(given) => (given, false),
    };
    let sources = Sources {
        flags: Layer::default(),
        file: given.config,
        env: &env,
    };
    if prints {
        say(&config::print(&sources)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::load(&sources, Mode::Check)?;
    for warning in &settings.warnings {
        complain(warning);
    }
    say(&format!("ok: {} hops\n", settings.hops.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn load(flags: Layer, file: Option<PathBuf>, mode: Mode) -> anyhow::Result<Settings> {
    let sources = Sources {
        flags,
        file,
        env: &env,
    };
    Ok(Settings::load(&sources, mode)?)
}

fn open_log(settings: &Settings) -> anyhow::Result<()> {
    log::init(&settings.log)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The kill switch: this process becomes the command.
fn become_command(command: &[OsString]) -> ExitCode {
    let Some((program, args)) = command.split_first() else {
        return ExitCode::from(USAGE);
    };
    let error = Process::new(program).args(args).exec();
    complain(&format!(
        "cannot run {}: {error}",
        program.to_string_lossy()
    ));
    match error.kind() {
        std::io::ErrorKind::NotFound => ExitCode::from(CANNOT_RUN + 1),
        _ => ExitCode::from(CANNOT_RUN),
    }
}

/// A closed stderr is no reason to panic.
fn complain(text: &str) {
    let _nobody_listens = writeln!(std::io::stderr(), "toolspan: {text}");
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to stdout")
}
