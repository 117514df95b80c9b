//! Takes an SDK, its part and a column. Gives the verdict of two runs of the same script: direct, and through toolspan.
//! Never lets the second run know of the first.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use serde_json::Value;

use super::check::{self, Through};
use super::column::{Column, Transport};
use super::peers::{Goal, Mark, Server, run_client};
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
    client: Sdk,
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
        let (server, client) = match part {
            Part::Server => (sdk, Sdk::reference(Part::Client, column)),
            Part::Client => (Sdk::reference(Part::Server, column), sdk),
        };
        let spoken = sdk.speaks(part, column);
        spoken.then_some(Self {
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
        let (direct, through) = match self.column.transport() {
            Transport::Stdio => self.over_stdio(&receiver, &mark, &script)?,
            _ => self.over_http(&receiver, &mark, &script)?,
        };
        mark.wait_for_no_one();
        check::era(self.column, &direct)?;
        check::same(&direct, &through.lines)?;
        check::outcomes(&through)?;
        check::one_trace(self, &mark, &through)
    }

    fn over_stdio(
        self,
        receiver: &Receiver,
        mark: &Mark,
        script: &Value,
    ) -> Result<(Vec<Value>, Through), String> {
        let server = self.server.server(Transport::Stdio);
        let direct = self.ask(mark, script, Goal::Command(&server))?;
        let log = Log::default();
        let line: Vec<&str> = server.iter().filter_map(|part| part.to_str()).collect();
        let endpoint = receiver.grpc_url();
        let command = stdio_command(&log, &["--otlp-endpoint", &endpoint], &line);
        let wrapped: Vec<PathBuf> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(PathBuf::from)
            .collect();
        let lines = self.ask(mark, script, Goal::Command(&wrapped))?;
        mark.wait_for_no_one();
        let through = seen(receiver, &log.summary(), &log, lines);
        Ok((direct, through))
    }

    fn over_http(
        self,
        receiver: &Receiver,
        mark: &Mark,
        script: &Value,
    ) -> Result<(Vec<Value>, Through), String> {
        let transport = self.column.transport();
        let server = Server::start(self.server, transport, mark);
        let url = transport.url(server.address());
        let direct = self.ask(mark, script, Goal::Url(&url))?;
        let upstream = format!("http://{}", server.address());
        let endpoint = receiver.grpc_url();
        let options = ["--otlp-endpoint", &endpoint];
        let proxy = Proxy::start_with(&upstream, &options, &[mark.variable()]);
        let address = proxy.address();
        let url = transport.url(&address.to_string());
        let lines = self.ask(mark, script, Goal::Url(&url))?;
        server.stop();
        let (summary, log) = proxy.stop_and_keep_log();
        if std::net::TcpStream::connect(address).is_ok() {
            return Err(format!("{address} still listens"));
        }
        Ok((direct, seen(receiver, &summary, &log, lines)))
    }

    fn ask(self, mark: &Mark, script: &Value, goal: Goal) -> Result<Vec<Value>, String> {
        run_client(self.client, self.column, mark, script, goal)
    }
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
