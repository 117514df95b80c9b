//! Takes the name of a peer. Gives it running in front of a scripted server, and how it wants to be called.
//! Never tunes one peer beyond another: what its makers recommend for a first start, and telemetry as it comes.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::install::Store;
use crate::bench::programs::{Programs, Sink, free_address};
use crate::env::find_program;
use crate::started::{self, Started};

/// Node and Python take their time on a busy machine.
const START: Duration = Duration::from_secs(30);
/// How long a bridge keeps the session of a client that is gone, in those that can be told.
const IDLE_SECONDS: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Direct,
    Toolspan,
    Mcpr,
    McpProxyRust,
    ToolspanBridge,
    McpProxyPython,
    Supergateway,
}

use Kind::{Direct, McpProxyPython, McpProxyRust, Mcpr, Supergateway, Toolspan, ToolspanBridge};

impl Kind {
    pub const ALL: [Self; 7] = [
        Direct,
        Toolspan,
        Mcpr,
        McpProxyRust,
        ToolspanBridge,
        McpProxyPython,
        Supergateway,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Direct => "direct",
            Toolspan => "toolspan",
            Mcpr => "mcpr",
            McpProxyRust => "mcp-proxy-rs",
            ToolspanBridge => "toolspan-bridge",
            McpProxyPython => "mcp-proxy-py",
            Supergateway => "supergateway",
        }
    }

    pub fn version(self) -> &'static str {
        match self {
            Direct => "",
            Toolspan | ToolspanBridge => env!("CARGO_PKG_VERSION"),
            Mcpr => "0.5.44",
            McpProxyRust => "0.6.0",
            McpProxyPython => "0.13.0",
            Supergateway => "4.0.0",
        }
    }

    /// Whether the server behind it is a command on pipes.
    pub fn bridges(self) -> bool {
        matches!(self, ToolspanBridge | McpProxyPython | Supergateway)
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Toolspan | ToolspanBridge)
    }

    fn path(self) -> &'static str {
        match self {
            McpProxyRust => "/",
            _ => "/mcp",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            McpProxyRust => "scripted/",
            _ => "",
        }
    }
}

/// A peer that takes calls.
pub struct Running {
    pub kind: Kind,
    pub process: Option<Started>,
    _server: Option<Started>,
    address: SocketAddr,
    pub record: PathBuf,
    pub control: PathBuf,
}

impl Running {
    /// What a load client is told.
    pub fn endpoint(&self) -> Vec<String> {
        let address = self.address.to_string();
        [
            "--to",
            &address,
            "--path",
            self.kind.path(),
            "--prefix",
            self.kind.prefix(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    pub fn start(kind: Kind, store: &Store, programs: &Programs, sink: &Sink) -> Result<Self> {
        let folder = programs.scratch.join("peers").join(kind.name());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let [record, control] = ["record", "control"].map(|name| folder.join(name));
        let mut running = Self {
            kind,
            process: None,
            _server: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            record,
            control,
        };
        let mut server = programs.load("scripted-server")?;
        server.args(running.orders());
        let upstream = match kind.bridges() {
            true => None,
            false => {
                let (process, address) = Started::printing_address("scripted-server", &mut server)?;
                running._server = Some(process);
                Some(address)
            }
        };
        let Some(address) = upstream.filter(|_| kind == Direct) else {
            running.address = free_address()?;
            let mut command = running.command(store, programs, sink, upstream, &folder)?;
            running.process = Some(running.spawn(&mut command, &folder)?);
            return Ok(running);
        };
        running.address = address;
        Ok(running)
    }

    fn orders(&self) -> Vec<String> {
        let [record, control] =
            [&self.record, &self.control].map(|path| path.display().to_string());
        vec![
            "--record".to_owned(),
            record,
            "--control".to_owned(),
            control,
        ]
    }

    fn command(
        &self,
        store: &Store,
        programs: &Programs,
        sink: &Sink,
        upstream: Option<SocketAddr>,
        folder: &Path,
    ) -> Result<Command> {
        let port = self.address.port().to_string();
        let upstream = upstream.map_or_else(String::new, |address| format!("http://{address}"));
        let mut server = vec![programs.load.display().to_string()];
        server.extend(["scripted-server", "--stdio"].map(str::to_owned));
        server.extend(self.orders());
        let mut command = match self.kind {
            Direct => bail!("there is no hop in a direct call"),
            Toolspan => {
                let mut command = self.sidecar(programs, sink)?;
                command.args(["--upstream", &upstream]);
                command
            }
            ToolspanBridge => {
                let mut command = self.sidecar(programs, sink)?;
                command.env("TOOLSPAN_SESSION_IDLE_SECONDS", IDLE_SECONDS.to_string());
                // The others have no such bound; clients die here faster than their sessions end.
                command.env("TOOLSPAN_MAX_SESSIONS", "4000");
                command.arg("--").args(&server);
                command
            }
            Mcpr => {
                let program = store.crate_program("mcpr-proxy", self.kind.version(), "mcpr")?;
                let file = folder.join("mcpr.toml");
                let admin = free_address()?;
                let text =
                    format!("mcp = \"{upstream}/mcp\"\nport = {port}\nadmin_bind = \"{admin}\"\n");
                fs::write(&file, text)?;
                let mut command = started::command(program)?;
                command.args(["proxy", "run"]).arg(&file);
                command
            }
            McpProxyRust => {
                let program = store.crate_program("mcp-proxy", self.kind.version(), "mcp-proxy")?;
                let file = folder.join("proxy.toml");
                let text = format!(
                    "[proxy]\nname = \"bench\"\n[proxy.listen]\nhost = \"127.0.0.1\"\nport = {port}\n\
                     [[backends]]\nname = \"scripted\"\ntransport = \"http\"\nurl = \"{upstream}/mcp\"\n\
                     [observability]\nlog_level = \"warn\"\n"
                );
                fs::write(&file, text)?;
                let mut command = started::command(program)?;
                command.arg("--config").arg(&file);
                command
            }
            McpProxyPython => {
                let mut command = started::command(store.pypi_program("mcp-proxy")?)?;
                command.args(["--port", &port, "--log-level", "WARNING", "--"]);
                command.args(&server);
                command
            }
            Supergateway => {
                let node = find_program("node").context("node is not on PATH")?;
                let mut command = started::command(node)?;
                command.arg(store.npm_program("supergateway")?);
                command.args(["--stdio", &server.join(" "), "--port", &port]);
                command.args(["--outputTransport", "streamableHttp", "--stateful"]);
                command.args(["--sessionTimeout", &format!("{IDLE_SECONDS}000")]);
                command.args(["--logLevel", "none"]);
                command
            }
        };
        // Stores of their own belong into the folder of this run.
        command.env("HOME", folder).current_dir(folder);
        Ok(command)
    }

    fn sidecar(&self, programs: &Programs, sink: &Sink) -> Result<Command> {
        let program = programs.sidecar.as_ref().context("no sidecar was built")?;
        let mut command = started::command(program)?;
        command.args(["http", "--tenant", "bench"]);
        command.args(["--listen", &self.address.to_string()]);
        command.args(["--otlp-endpoint", &format!("http://{}", sink.address)]);
        Ok(command)
    }

    /// Waits until it listens; what it said goes into the reason when it does not.
    fn spawn(&self, command: &mut Command, folder: &Path) -> Result<Started> {
        let log = folder.join("log");
        let file = File::create(&log)?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut process = Started::spawn(self.kind.name(), command)?;
        let deadline = Instant::now() + START;
        while std::net::TcpStream::connect(self.address).is_err() {
            if let Some(status) = process.ended()? {
                bail!("ended at its start with {status}: {}", complaint(&log));
            }
            if Instant::now() > deadline {
                bail!("does not listen: {}", complaint(&log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }
}

/// The first line that speaks of an error, else the last line.
fn complaint(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let error = lines().find(|line| line.to_lowercase().contains("error"));
    let line = error.or_else(|| lines().next_back());
    let line = line.unwrap_or("it said nothing").trim();
    line.chars().take(160).collect()
}
