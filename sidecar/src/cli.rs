//! Takes the arguments of the process. Gives the subcommand, and its flags as a layer of the configuration.
//! Never judges a value: a flag means what the same key in the file means.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Layer, Value};

const EXAMPLES: &str = "\
Examples:
  Observe a server that a client starts itself: put this in the client's configuration
    toolspan stdio --tenant acme -- npx -y @modelcontextprotocol/server-everything
  Observe a server that listens
    toolspan http --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000
  See every option with its default
    toolspan config print

TOOLSPAN_DISABLED=1 forwards and does nothing else.";

const STDIO_EXAMPLES: &str = "\
Examples:
  toolspan stdio -- python3 server.py
  toolspan stdio --tenant acme -- npx -y @modelcontextprotocol/server-everything
  toolspan stdio --otlp-endpoint http://collector:4317 --log-file /tmp/toolspan.log --log-level debug -- weather-server

Nothing of toolspan's own goes to stdout; warnings go to stderr. The exit code is the command's.";

const HTTP_EXAMPLES: &str = "\
Examples:
  toolspan http --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000 --tenant acme
  toolspan http --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000 --tenant-from header:X-Tenant
  toolspan http --config /etc/toolspan.toml     (several hops: one [[hop]] each)
  toolspan http --listen 127.0.0.1:8080 -- npx -y @modelcontextprotocol/server-everything

Paths and headers pass through: a client of http://127.0.0.1:3000/mcp uses http://127.0.0.1:8080/mcp.
A stdio server is served at http://127.0.0.1:8080/mcp (Streamable HTTP) and http://127.0.0.1:8080/sse (HTTP+SSE).";

const CONFIG_EXAMPLES: &str = "\
Examples:
  toolspan config print > toolspan.toml         (every option, to edit)
  toolspan config check --config toolspan.toml";

const NAMES_EXAMPLES: &str = "\
Examples:
  toolspan names                                (every span, attribute and metric that leaves this program)";

/// Makes Model Context Protocol traffic observable: stands in the path of the bytes, splices
/// trace context in, and ships one span of every call as OTLP.
#[derive(Debug, Parser)]
#[command(name = "toolspan", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is taken apart at once"
)]
pub enum Command {
    /// Start COMMAND and stand between it and the client that started us
    #[command(after_help = STDIO_EXAMPLES)]
    Stdio(Stdio),
    /// Stand in front of a server as a reverse proxy, or serve a stdio server over HTTP
    #[command(after_help = HTTP_EXAMPLES)]
    Http(Http),
    /// Show or check the configuration
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(Config),
    /// Show the names of spans, attributes and metrics, as Markdown
    #[command(after_help = NAMES_EXAMPLES)]
    Names,
}

#[derive(Debug, Args)]
pub struct Stdio {
    #[command(flatten)]
    pub common: Common,
    /// The server's command line, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Http {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub listener: Listener,
    #[command(flatten)]
    pub bridge: Bridge,
}

#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print every option with its meaning, default and current value, as TOML
    #[command(after_help = CONFIG_EXAMPLES)]
    Print(Given),
    /// Say what is wrong with the configuration, if anything is
    #[command(after_help = CONFIG_EXAMPLES)]
    Check(Given),
}

#[derive(Debug, Args)]
pub struct Given {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "TOOLSPAN_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The ends of the hop that the flags describe.
#[derive(Debug, Default, Args)]
pub struct Listener {
    /// Accept clients on this IP:PORT (port 0 takes any free one) or unix:/path
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The server: http://HOST:PORT, https://HOST:PORT or unix:/path
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Our certificate, in PEM: clients must speak TLS
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Clients must show a certificate that one of these authorities signed
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// Speak to the server with 1.1, 2 or auto (the default)
    #[arg(long, value_name = "VERSION")]
    upstream_http: Option<String>,
    /// Tell the server its own name as Host
    #[arg(long)]
    rewrite_host: bool,
    /// What becomes of Forwarded and X-Forwarded-*: pass (the default), append or replace
    #[arg(long, value_name = "WHAT")]
    forwarded: Option<String>,
    /// Authorities that may sign the server's certificate
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<String>,
    /// Write HOST:PORT to this file once we listen
    #[arg(long, value_name = "FILE")]
    port_file: Option<String>,
    /// Serve probes, metrics and switches on this IP:PORT
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Allow an address that other machines reach
    #[arg(long)]
    allow_public: bool,
}

/// A stdio server as the server of the hop.
#[derive(Debug, Default, Args)]
pub struct Bridge {
    /// With COMMAND: the path of Streamable HTTP [default: /mcp]
    #[arg(long, value_name = "PATH")]
    mcp_path: Option<String>,
    /// With COMMAND: more hosts that it answers to, with commas between
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    allowed_hosts: Option<Vec<String>>,
    /// With COMMAND: origins whose pages may use it, with commas between
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    allowed_origins: Option<Vec<String>>,
    /// Instead of an upstream: the command line of a stdio server, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    command: Option<Vec<String>>,
}

/// What both kinds of hop take.
#[derive(Debug, Default, Args)]
pub struct Common {
    /// The tenant of every call
    #[arg(long, value_name = "NAME", conflicts_with = "tenant_from")]
    tenant: Option<String>,
    /// Where each call names its tenant, as header:NAME; given again, the first that says anything decides. `config print` has all
    #[arg(long, value_name = "WHERE", value_delimiter = ',')]
    tenant_from: Option<Vec<String>>,
    /// For token: lines of the SHA-256 of a bearer token and its tenant
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<String>,
    /// The side a span stands for: server (the default) or client
    #[arg(long, value_name = "SIDE")]
    side: Option<String>,
    /// Emit a SERVER and a CLIENT span for each call
    #[arg(long)]
    span_pair: bool,
    /// The collector [default: http://127.0.0.1:4317, with http/protobuf http://127.0.0.1:4318]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// grpc (the default) or http/protobuf
    #[arg(long, value_name = "PROTOCOL")]
    otlp_protocol: Option<String>,
    /// service.name of the spans
    #[arg(long, value_name = "NAME")]
    service_name: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "TOOLSPAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Append the log to this file instead of writing warnings to stderr
    #[arg(long, value_name = "FILE")]
    log_file: Option<String>,
    /// text (the default) or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace [default: info; for stdio without a log file warn]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Largest request that gets trace context spliced in [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    max_inject_bytes: Option<u64>,
}

impl Common {
    /// The flags that were given, by the keys of the file.
    #[must_use]
    pub fn layer(self) -> Layer {
        let mut layer = Layer::default();
        for (key, text) in [
            ("tenant", self.tenant),
            ("tokens_file", self.tokens_file),
            ("side", self.side),
            ("otlp_endpoint", self.otlp_endpoint),
            ("otlp_protocol", self.otlp_protocol),
            ("service_name", self.service_name),
            ("log_file", self.log_file),
            ("log_format", self.log_format),
            ("log_level", self.log_level),
        ] {
            layer.flag(key, text.map(Value::Text));
        }
        layer.flag("tenant_from", self.tenant_from.map(Value::List));
        layer.flag("span_pair", on(self.span_pair));
        let bytes = self.max_inject_bytes.map(Value::Integer);
        layer.flag("max_inject_bytes", bytes);
        layer
    }
}

impl Listener {
    /// Adds the ends of the hop to its other flags.
    pub fn add_to(self, layer: &mut Layer) {
        for (key, text) in [
            ("listen", self.listen),
            ("upstream", self.upstream),
            ("tls_cert", self.tls_cert),
            ("tls_key", self.tls_key),
            ("tls_client_ca", self.tls_client_ca),
            ("upstream_http", self.upstream_http),
            ("upstream_ca", self.upstream_ca),
            ("forwarded", self.forwarded),
            ("port_file", self.port_file),
            ("admin", self.admin),
        ] {
            layer.flag(key, text.map(Value::Text));
        }
        layer.flag("allow_public", on(self.allow_public));
        layer.flag("rewrite_host", on(self.rewrite_host));
    }
}

impl Bridge {
    /// Adds the stdio server to the flags of its hop.
    pub fn add_to(self, layer: &mut Layer) {
        layer.flag("mcp_path", self.mcp_path.map(Value::Text));
        for (key, texts) in [
            ("allowed_hosts", self.allowed_hosts),
            ("allowed_origins", self.allowed_origins),
            ("command", self.command),
        ] {
            layer.flag(key, texts.map(Value::List));
        }
    }
}

/// A switch that is not given leaves the word to the environment and the file.
fn on(given: bool) -> Option<Value> {
    given.then_some(Value::Switch(true))
}

/// The wrapped command, found without understanding the flags before it: the kill switch works
/// even where they are wrong.
#[must_use]
pub fn wrapped_command(args: &[OsString]) -> Option<&[OsString]> {
    let [_program, subcommand, rest @ ..] = args else {
        return None;
    };
    if subcommand != "stdio" {
        return None;
    }
    let end = rest.iter().position(|arg| arg == "--")?;
    rest.get(end + 1..).filter(|command| !command.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::{Mode, Settings, Sources};
    use crate::record::Side;
    use crate::tenant::Source;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn settings(line: &str) -> Settings {
        let (flags, mode) = match Cli::try_parse_from(words(line)).unwrap().command {
            Command::Stdio(stdio) => (stdio.common.layer(), Mode::Stdio),
            Command::Http(http) => {
                let mut layer = http.common.layer();
                http.listener.add_to(&mut layer);
                http.bridge.add_to(&mut layer);
                (layer, Mode::Http)
            }
            Command::Config(_) | Command::Names => panic!("no hop"),
        };
        let sources = Sources {
            flags,
            file: None,
            env: &|_| None,
        };
        Settings::load(&sources, mode).unwrap()
    }

    #[test]
    fn the_commands_are_well_formed_and_all_have_examples() {
        Cli::command().debug_assert();
        let command = Cli::command();
        let all = command.get_subcommands();
        let all = all
            .flat_map(|sub| sub.get_subcommands().chain([sub]))
            .chain([&command]);
        for sub in all {
            let help = sub.get_after_help().map(ToString::to_string);
            assert!(
                help.unwrap_or_default().starts_with("Examples:"),
                "{}",
                sub.get_name()
            );
        }
    }

    #[test]
    fn every_flag_reaches_the_settings() {
        let hop = settings(
            "toolspan http --listen 127.0.0.1:1 --upstream http://x:2 --tenant-from header:T \
             --side client --span-pair --otlp-endpoint http://c:3 --otlp-protocol http/protobuf \
             --service-name s --log-file f --log-format json --log-level debug \
             --max-inject-bytes 7 --port-file p",
        );
        let [only] = hop.hops.as_slice() else {
            panic!("one hop")
        };
        assert_eq!(
            only.common.tenant.sources,
            [Source::Header(http::HeaderName::from_static("t"))]
        );
        assert_eq!(only.common.side, Side::Client);
        assert!(only.common.span_pair);
        assert_eq!(only.common.max_inject_bytes, 7);
        assert_eq!(only.port_file.as_deref(), Some("p".as_ref()));
        assert_eq!(hop.telemetry.traces.endpoint, "http://c:3/v1/traces");
        assert_eq!(hop.telemetry.service_name.as_deref(), Some("s"));
        assert_eq!(hop.log.file.as_deref(), Some("f".as_ref()));
        assert_eq!(hop.log.level, Some(tracing::Level::DEBUG));
        settings("toolspan http --listen 0.0.0.0:1 --upstream http://x:2 --allow-public");
    }

    #[test]
    fn the_command_keeps_its_own_flags() {
        let cli = Cli::try_parse_from(words("toolspan stdio --tenant a -- npx -y --tenant b -- c"));
        let Command::Stdio(stdio) = cli.unwrap().command else {
            panic!("stdio")
        };
        assert_eq!(stdio.command, words("npx -y --tenant b -- c"));
        assert!(Cli::try_parse_from(words("toolspan stdio --tenant a")).is_err());
        assert!(
            Cli::try_parse_from(words(
                "toolspan stdio --tenant a --tenant-from header:b -- c"
            ))
            .is_err()
        );
    }

    #[test]
    fn the_kill_switch_finds_the_command_behind_wrong_flags() {
        let args = words("toolspan stdio --no-such-flag -- npx -y x");
        assert_eq!(wrapped_command(&args), Some(&words("npx -y x")[..]));
        assert_eq!(wrapped_command(&words("toolspan stdio --")), None);
        assert_eq!(wrapped_command(&words("toolspan http -- x")), None);
    }
}
