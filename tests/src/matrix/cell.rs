//! Takes an SDK, its part and a column. Gives the verdict of two runs of the same script: direct, and through toolspan.
//! Never lets the second run know of the first.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use serde_json::Value;

use super::check::{self, Through};
use super::column::{Column, Transport, Way};
use super::peers::{Goal, Mark, Server, node_path, run_client};
use super::script;
use super::sdk::{Part, Sdk};
use crate::otlp::{Mode, Receiver};
use crate::sidecar::{Log, Proxy, Summary, stdio_command};

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub sdk: Sdk,
    pub part: Part,
    pub column: Column,
    server: Sdk,
    pub(super) client: Sdk,
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (sdk, part) = (self.sdk.name(), self.part.name());
        write!(out, "{sdk} as {part} over {}", self.column.title())
    }
}

impl Cell {
    /// None where the SDK does not speak it, or nobody answers it there.
    #[must_use]
    pub fn new(sdk: Sdk, part: Part, column: Column) -> Option<Self> {
        let spoken = match (column.way(), part) {
            (Way::Bridged, Part::Server) => Transport::Stdio,
            _ => column.transport(),
        };
        let reference = Sdk::reference(spoken);
        let (server, client) = match part {
            Part::Server => (sdk, reference),
            Part::Client => (reference, sdk),
        };
        sdk.speaks(part, spoken, column.era()).then_some(Self {
            sdk,
            part,
            column,
            server,
            client,
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// With the reason why it is not `ok`.
    pub fn run(self) -> Result<(), String> {
        catch_unwind(AssertUnwindSafe(|| self.compare())).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(text.unwrap_or_else(|| "a panic".to_owned()))
        })
    }

    fn compare(self) -> Result<(), String> {
        let receiver = Receiver::start(Mode::Accept);
        let mark = Mark::new();
        let script = script::steps(self.server);
        let (direct, through) = match self.column.way() {
            Way::Wrapped => self.wrapped(&receiver, &mark, &script)?,
            Way::Proxied => self.proxied(&receiver, &mark, &script)?,
            Way::Bridged => self.bridged(&receiver, &mark, &script)?,
        };
        mark.wait_for_no_one();
        check::era(self.column, &direct)?;
        check::same(&direct, &through.lines)?;
        check::outcomes(&through)?;
        check::one_trace(self, &mark, &through)
    }

    fn wrapped(self, receiver: &Receiver, mark: &Mark, script: &Value) -> Result<Runs, String> {
        let server = self.server.server(Transport::Stdio);
        let direct = self.over_stdio(mark, script, &server)?;
        let log = Log::default();
        let endpoint = receiver.grpc_url();
        let command = stdio_command(&log, &["--otlp-endpoint", &endpoint], &as_text(&server));
        let wrapped: Vec<PathBuf> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(PathBuf::from)
            .collect();
        let lines = self.over_stdio(mark, script, &wrapped)?;
        mark.wait_for_no_one();
        Ok((direct, seen(receiver, &log.summary(), &log, lines)))
    }

    fn proxied(self, receiver: &Receiver, mark: &Mark, script: &Value) -> Result<Runs, String> {
        let server = Server::start(self.server, self.column.transport(), mark);
        let direct = self.over_net(mark, script, server.address())?;
        let upstream = format!("http://{}", server.address());
        let endpoint = receiver.grpc_url();
        let options = ["--otlp-endpoint", &endpoint];
        let proxy = Proxy::start_with(&upstream, &options, &[mark.variable()]);
        let lines = self.over_net(mark, script, &proxy.address().to_string())?;
        server.stop();
        Ok((direct, stopped(receiver, proxy, lines)?))
    }

    /// What the client gets from the same server over pipes is what it must get over HTTP.
    fn bridged(self, receiver: &Receiver, mark: &Mark, script: &Value) -> Result<Runs, String> {
        let server = self.server.server(Transport::Stdio);
        let direct = self.over_stdio(mark, script, &server)?;
        let endpoint = receiver.grpc_url();
        let options = ["--otlp-endpoint", &endpoint];
        let node = node_path();
        let env = [mark.variable(), ("NODE_PATH", &node)];
        let proxy = Proxy::serving(&as_text(&server), &options, &env);
        let lines = self.over_net(mark, script, &proxy.address().to_string())?;
        Ok((direct, stopped(receiver, proxy, lines)?))
    }

    fn over_stdio(
        self,
        mark: &Mark,
        script: &Value,
        server: &[PathBuf],
    ) -> Result<Vec<Value>, String> {
        let wire = (Transport::Stdio, self.column.era());
        run_client(self.client, wire, mark, script, Goal::Command(server))
    }

    fn over_net(self, mark: &Mark, script: &Value, address: &str) -> Result<Vec<Value>, String> {
        let wire = (self.column.transport(), self.column.era());
        let url = wire.0.url(address);
        run_client(self.client, wire, mark, script, Goal::Url(&url))
    }
}

/// The lines of the direct run, and what the other one gave.
type Runs = (Vec<Value>, Through);

fn as_text(command: &[PathBuf]) -> Vec<&str> {
    command.iter().filter_map(|part| part.to_str()).collect()
}

fn stopped(receiver: &Receiver, proxy: Proxy, lines: Vec<Value>) -> Result<Through, String> {
    let address = proxy.address();
    let (summary, log) = proxy.stop_and_keep_log();
    if std::net::TcpStream::connect(address).is_ok() {
        return Err(format!("{address} still listens"));
    }
    Ok(seen(receiver, &summary, &log, lines))
}

fn seen(receiver: &Receiver, summary: &Summary, log: &Log, lines: Vec<Value>) -> Through {
    log.assert_none_at("ERROR");
    summary.assert_conserved();
    assert_eq!(summary.dropped(), 0, "no call is lost");
    let count = usize::try_from(summary.count("calls_seen")).expect("a small count");
    Through {
        lines,
        spans: receiver.wait_for_calls(count),
    }
}
