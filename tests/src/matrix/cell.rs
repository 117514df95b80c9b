//! Takes an SDK, its part and a column. Gives the verdict of two runs of the same script: direct, and through toolspan.
//! Never lets the second run know of the first.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;

use super::check::{self, Through};
use super::column::{Column, Era, Transport, Way};
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

/// What clients got without the sidecar. Over pipes several cells compare with the same run.
#[derive(Debug, Default)]
pub struct Direct {
    over_stdio: Mutex<HashMap<(Sdk, Sdk, Era), Lines>>,
}

type Lines = Vec<Value>;

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
        let reference = Sdk::reference(column.transport());
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

    /// Whether it is the very run that the other one is: the reference meets itself as server and as client.
    #[must_use]
    pub fn repeats(self, other: Self) -> bool {
        let run = |cell: Self| (cell.server, cell.client, cell.column);
        run(self) == run(other)
    }

    /// Runs it.
    ///
    /// # Errors
    /// With the reason why it is not `ok`.
    pub fn run(self, direct: &Direct) -> Result<(), String> {
        catch_unwind(AssertUnwindSafe(|| self.compare(direct))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(text.unwrap_or_else(|| "a panic".to_owned()))
        })
    }

    fn compare(self, direct: &Direct) -> Result<(), String> {
        let receiver = Receiver::start(Mode::Accept);
        let mark = Mark::new();
        let script = script::steps(self.server);
        let (direct, through) = match self.column.way() {
            Way::Wrapped => self.wrapped(direct, &receiver, &mark, &script)?,
            Way::Proxied => self.proxied(&receiver, &mark, &script)?,
            Way::Bridged => self.bridged(direct, &receiver, &mark, &script)?,
        };
        mark.wait_for_no_one();
        check::era(self.column, &direct)?;
        check::same(&direct, &through.lines)?;
        check::outcomes(&through)?;
        check::one_trace(self, &mark, &through)
    }

    fn wrapped(
        self,
        direct: &Direct,
        receiver: &Receiver,
        mark: &Mark,
        script: &Value,
    ) -> Result<Runs, String> {
        let server = self.server.server(Transport::Stdio);
        let direct = self.without_us(direct, mark, script, &server)?;
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
    fn bridged(
        self,
        direct: &Direct,
        receiver: &Receiver,
        mark: &Mark,
        script: &Value,
    ) -> Result<Runs, String> {
        let server = self.server.server(Transport::Stdio);
        let direct = self.without_us(direct, mark, script, &server)?;
        let endpoint = receiver.grpc_url();
        let options = ["--otlp-endpoint", &endpoint];
        let node = node_path();
        let env = [mark.variable(), ("NODE_PATH", &node)];
        let proxy = Proxy::serving(&as_text(&server), &options, &env);
        let lines = self.over_net(mark, script, &proxy.address().to_string())?;
        if self.column.era() == Era::Legacy {
            // The client has ended its session, and the session its server.
            mark.wait_for_only(proxy.id());
        }
        Ok((direct, stopped(receiver, proxy, lines)?))
    }

    fn without_us(
        self,
        direct: &Direct,
        mark: &Mark,
        script: &Value,
        server: &[PathBuf],
    ) -> Result<Lines, String> {
        let run = (self.server, self.client, self.column.era());
        let done = || direct.over_stdio.lock().expect("no panic inside");
        if let Some(lines) = done().get(&run) {
            return Ok(lines.clone());
        }
        let lines = self.over_stdio(mark, script, server)?;
        done().insert(run, lines.clone());
        Ok(lines)
    }

    fn over_stdio(self, mark: &Mark, script: &Value, server: &[PathBuf]) -> Result<Lines, String> {
        let wire = (Transport::Stdio, self.column.era());
        run_client(self.client, wire, mark, script, Goal::Command(server))
    }

    fn over_net(self, mark: &Mark, script: &Value, address: &str) -> Result<Lines, String> {
        let wire = (self.column.transport(), self.column.era());
        let url = wire.0.url(address);
        run_client(self.client, wire, mark, script, Goal::Url(&url))
    }
}

/// The lines of the direct run, and what the other one gave.
type Runs = (Lines, Through);

fn as_text(command: &[PathBuf]) -> Vec<&str> {
    command.iter().filter_map(|part| part.to_str()).collect()
}

fn stopped(receiver: &Receiver, proxy: Proxy, lines: Lines) -> Result<Through, String> {
    let address = proxy.address();
    let (summary, log) = proxy.stop_and_keep_log();
    if std::net::TcpStream::connect(address).is_ok() {
        return Err(format!("{address} still listens"));
    }
    Ok(seen(receiver, &summary, &log, lines))
}

fn seen(receiver: &Receiver, summary: &Summary, log: &Log, lines: Lines) -> Through {
    log.assert_none_at("ERROR");
    summary.assert_conserved();
    assert_eq!(summary.dropped(), 0, "no call is lost");
    let count = usize::try_from(summary.count("calls_seen")).expect("a small count");
    Through {
        lines,
        spans: receiver.wait_for_calls(count),
    }
}
