//! Takes the command line.
//! Gives the work to the library, and says how it ended.
//! Never does anything itself.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use toolspan_collector::config::file::FileOptions;
use toolspan_collector::config::{LogFormat, ServeArgs, print};
use toolspan_collector::query::{self, CallsArgs, QueryArgs, TenantsArgs, ToolsArgs, TraceArgs};
use toolspan_collector::schema::{self, SchemaArgs};
use toolspan_collector::{collector, shutdown};

/// Stores the traces and metrics of tool calls, per tenant, and answers questions about them.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take OTLP exports and store them.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    Query(QueryArgs),
    Calls(CallsArgs),
    Tools(ToolsArgs),
    Trace(TraceArgs),
    Tenants(TenantsArgs),
    Schema(SchemaArgs),
    /// Show or check the configuration.
    #[command(after_help = PRINT_EXAMPLES)]
    Config(ConfigArgs),
}

#[derive(Args)]
struct ConfigArgs {
    #[command(subcommand)]
    action: ConfigAction,
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Print every option with its meaning and its value, as a file that --config takes.
    #[command(after_help = PRINT_EXAMPLES)]
    Print(ServeArgs),
    /// Say whether the options fit together, without starting anything.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(ServeArgs),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  Store in the folder ./spans, listen on the usual ports of this machine:
    toolspan-collector serve --store ./spans
  In ClickHouse as well:
    toolspan-collector serve --store ./spans --clickhouse-url http://default@127.0.0.1:8123/?database=toolspan
  On free ports, which the file names:
    toolspan-collector serve --store ./spans --otlp-grpc 127.0.0.1:0 --otlp-http 127.0.0.1:0 --port-file ./ports";

const PRINT_EXAMPLES: &str = "\
Examples:
  Begin a configuration file:
    toolspan-collector config print > collector.toml
  See what a file and the environment come to:
    toolspan-collector config print --config collector.toml";

const CHECK_EXAMPLES: &str = "\
Examples:
  toolspan-collector config check --config collector.toml";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "toolspan-collector: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let matches = matches()?;
    match Cli::from_arg_matches(&matches)?.command {
        Command::Serve(args) => serve(&args),
        Command::Query(args) => wait_for(query::run(args)),
        Command::Calls(args) => wait_for(query::calls(args)),
        Command::Tools(args) => wait_for(query::tools(args)),
        Command::Trace(args) => wait_for(query::trace(args)),
        Command::Tenants(args) => wait_for(query::tenants(args)),
        Command::Schema(args) => wait_for(schema::run(args)),
        Command::Config(ConfigArgs {
            action: ConfigAction::Check(args),
        }) => {
            args.log_filter()?;
            args.check()?;
            Ok(writeln!(std::io::stdout(), "the configuration is sound")?)
        }
        Command::Config(ConfigArgs {
            action: ConfigAction::Print(_),
        }) => {
            let text = innermost(&matches).map_or_else(String::new, print::print);
            Ok(write!(std::io::stdout(), "{text}")?)
        }
    }
}

/// What was given, with the options of the configuration file below flags and variables.
fn matches() -> anyhow::Result<ArgMatches> {
    let given = Cli::command().get_matches();
    let file = innermost(&given).and_then(|inner| {
        inner
            .try_get_one::<std::path::PathBuf>("config")
            .ok()
            .flatten()
    });
    let Some(file) = file else { return Ok(given) };
    let options = FileOptions::read(file)?;
    let with_file = |command: clap::Command| options.as_defaults(command);
    let command = Cli::command().mut_subcommand("serve", with_file);
    let command = command.mut_subcommand("config", |config| {
        config
            .mut_subcommand("print", with_file)
            .mut_subcommand("check", with_file)
    });
    command.try_get_matches().or_else(|error| {
        let _ = error.print();
        if error.use_stderr() {
            let _ = writeln!(
                std::io::stderr(),
                "Values that were not given as flags come from {}.",
                file.display()
            );
        }
        std::process::exit(error.exit_code())
    })
}

fn innermost(matches: &ArgMatches) -> Option<&ArgMatches> {
    let (_, mut inner) = matches.subcommand()?;
    while let Some((_, deeper)) = inner.subcommand() {
        inner = deeper;
    }
    Some(inner)
}

fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let config = args.check()?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(args.log_filter()?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    raise_file_limit();
    let runtime = runtime()?;
    let ended: anyhow::Result<_> = runtime.block_on(async {
        let stop = shutdown::on_signal()?;
        Ok(collector::run(config, stop).await?)
    });
    // Not for ever: a thread that hangs on a disk would keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended.map(drop)
}

/// The soft limit is often 1024, which is what two ports may have in connections before any file is open.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
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

/// Runs a command that ends by itself; its warnings go to stderr.
fn wait_for<E>(command: impl Future<Output = Result<(), E>>) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let warnings = tracing_subscriber::EnvFilter::new("warn");
    tracing_subscriber::fmt()
        .with_env_filter(warnings)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(runtime()?.block_on(command)?)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
