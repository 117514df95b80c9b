//! Takes a script of calls. Gives what the official MCP client and server of PyPI make of it.
//! Never interprets: each line of the driver becomes one `Sent`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::process::{Guarded, start_server, without_telemetry_variables};
use crate::programs;

/// One request that the client sent.
#[derive(Debug, Clone, Deserialize)]
pub struct Sent {
    pub method: String,
    pub request_id: String,
    /// Tool, prompt or URI.
    pub target: Option<String>,
    pub trace_id: String,
    /// The client's own span of this request: what the sidecar's span must have as parent.
    pub span_id: String,
    /// ok, tool_error, rpc_error:CODE, timed_out, gone, died, failed
    pub outcome: String,
    pub seconds: f64,
    pub detail: Option<String>,
}

/// Where a Python program exports its own spans to, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    pub endpoint: String,
    pub tenant: String,
}

impl Telemetry {
    fn apply(&self, command: &mut Command) {
        without_telemetry_variables(command);
        if !self.endpoint.is_empty() {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint);
            command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
            let tenant = format!("tenant.id={}", self.tenant);
            command.env("OTEL_RESOURCE_ATTRIBUTES", tenant);
        }
    }
}

/// The driver on the official client.
#[derive(Debug, Clone)]
pub struct Client {
    /// `legacy`, `modern` or `auto`.
    pub mode: &'static str,
    pub telemetry: Telemetry,
    /// `NAME=VALUE`
    pub headers: Vec<String>,
}

impl Client {
    #[must_use]
    pub fn new(mode: &'static str) -> Self {
        Self {
            mode,
            telemetry: Telemetry::default(),
            headers: Vec::new(),
        }
    }

    /// Runs a script over Streamable HTTP.
    #[must_use]
    pub fn run_http(&self, url: &str, script: &Value) -> Vec<Sent> {
        let mut command = self.command();
        command.args(["--url", url]);
        for header in &self.headers {
            command.args(["--header", header]);
        }
        sent(command, script)
    }

    /// Runs a script over HTTP+SSE.
    #[must_use]
    pub fn run_sse(&self, url: &str, script: &Value) -> Vec<Sent> {
        let mut command = self.command();
        command.args(["--sse", "--url", url]);
        sent(command, script)
    }

    /// Runs a script over stdio: the client spawns this command with these variables.
    #[must_use]
    pub fn run_stdio(&self, env: &[&str], spawned: &[&str], script: &Value) -> Vec<Sent> {
        let mut command = self.command();
        for pair in env {
            command.args(["--env", pair]);
        }
        command.arg("--").args(spawned);
        sent(command, script)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(programs::python());
        command
            .arg(programs::python_script("mcp_client.py"))
            .args(["--mode", self.mode])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        self.telemetry.apply(&mut command);
        command
    }
}

fn sent(mut command: Command, script: &Value) -> Vec<Sent> {
    let mut process = Guarded::spawn(&mut command).expect("the client starts");
    let mut stdin = process.take_stdin().expect("its input is a pipe");
    stdin
        .write_all(script.to_string().as_bytes())
        .expect("the client reads its script");
    drop(stdin);
    let stdout = process.take_stdout().expect("its output is a pipe");
    let text = std::io::read_to_string(stdout).expect("the client's output is text");
    process.wait();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// The command of the fixture server over stdio.
#[must_use]
pub fn stdio_server() -> [PathBuf; 3] {
    [
        programs::python(),
        programs::python_script("mcp_server.py"),
        PathBuf::from("stdio"),
    ]
}

/// A running fixture server over Streamable HTTP.
pub struct HttpServer {
    process: Guarded,
    address: String,
}

impl HttpServer {
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(telemetry: &Telemetry, options: &[&str]) -> Self {
        Self::start_as("http", telemetry, options)
    }

    /// The same server over HTTP+SSE.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_sse(telemetry: &Telemetry) -> Self {
        Self::start_as("sse", telemetry, &[])
    }

    fn start_as(transport: &str, telemetry: &Telemetry, options: &[&str]) -> Self {
        let mut command = Command::new(programs::python());
        command
            .arg(programs::python_script("mcp_server.py"))
            .arg(transport)
            .args(options);
        telemetry.apply(&mut command);
        let (process, address) = start_server(&mut command);
        Self { process, address }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it in order, so that its last spans are out.
    pub fn stop(mut self) {
        drop(self.process.take_stdin());
        self.process.wait();
    }
}
