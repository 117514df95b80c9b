//! Takes what the machine has. Gives the programs of the demo, and those that run while it lasts.
//! Never does without something in silence: what is missing is named with what stands in for it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::scripts;
use crate::env::{self, Env};
use crate::started::{self, Started};

/// Every program of the demo.
pub struct Peers {
    pub sidecar: PathBuf,
    pub collector: PathBuf,
    pub first_server: FirstServer,
    /// The second server over pipes, where there is no Python to serve HTTP.
    pub second_server: Vec<OsString>,
    client: Vec<OsString>,
    http_server: Option<Vec<OsString>>,
}

/// The server of the first tenant, always over pipes, and what is asked of it.
pub struct FirstServer {
    pub command: Vec<OsString>,
    pub work: fn() -> Value,
    pub killed: fn() -> Value,
}

impl Peers {
    pub fn find(env: &Env, without: &[String]) -> Result<Self> {
        let python = present(without, "python", || env.python());
        let node = present(without, "node", || env.node_dir());
        let (sidecar, collector) = env.programs()?;
        let mut rust = None;
        let mut missing = |what: &str, why: &anyhow::Error, stand_in: &str| {
            println!("no {what} ({why:#}): {stand_in}");
            rust.get_or_insert_with(|| Rmcp::build(env))
                .as_ref()
                .map(Rmcp::clone)
                .map_err(|error| anyhow::anyhow!("{error:#}"))
        };
        let first_server = match node {
            Ok(folder) => FirstServer {
                command: everything(&folder),
                work: scripts::everything_work,
                killed: scripts::everything_killed,
            },
            Err(why) => FirstServer {
                command: missing("Node", &why, "acme gets the server on rmcp")?.server,
                work: scripts::fixture_work,
                killed: scripts::fixture_killed,
            },
        };
        let fixtures = env.root.join("tests/python");
        Ok(match python {
            Ok(python) => Self {
                sidecar,
                collector,
                first_server,
                second_server: Vec::new(),
                client: vec![python.clone().into(), fixtures.join("mcp_client.py").into()],
                http_server: Some(vec![python.into(), fixtures.join("mcp_server.py").into()]),
            },
            Err(why) => {
                let rmcp = missing(
                    "Python",
                    &why,
                    "client and second server are on rmcp, over stdio",
                )?;
                Self {
                    sidecar,
                    collector,
                    first_server,
                    second_server: rmcp.server,
                    client: rmcp.client,
                    http_server: None,
                }
            }
        })
    }

    /// A client whose own spans go to the collector under its tenant.
    pub fn client(&self, stage: &Stage, tenant: &str) -> Result<Command> {
        let (program, arguments) = self.client.split_first().context("no client")?;
        let mut command = started::command(program)?;
        command.args(arguments);
        stage.export_from(&mut command, tenant);
        Ok(command)
    }
}

fn present(
    without: &[String],
    what: &str,
    install: impl FnOnce() -> Result<PathBuf>,
) -> Result<PathBuf> {
    if without.iter().any(|left_out| left_out == what) {
        bail!("left out, as asked");
    }
    install()
}

fn everything(folder: &Path) -> Vec<OsString> {
    let script = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    vec!["node".into(), folder.join(script).into(), "stdio".into()]
}

/// The client and server on the `rmcp` crate, of the workspace itself.
#[derive(Clone)]
struct Rmcp {
    client: Vec<OsString>,
    server: Vec<OsString>,
}

impl Rmcp {
    fn build(env: &Env) -> Result<Self> {
        println!("building the client and server on rmcp");
        env.build_programs(&["rmcp-peer"])?;
        let program = env::target_dir(&env.root).join("debug/rmcp-peer");
        Ok(Self {
            client: vec![program.clone().into(), "client".into()],
            server: vec![program.into(), "server".into()],
        })
    }
}

/// What runs while the demo lasts.
pub struct Stage {
    /// In the order in which they end: what exports goes before what stores.
    running: Vec<Started>,
    collector: Started,
    logs: PathBuf,
    grpc: String,
    http: String,
}

impl Stage {
    pub fn start(peers: &Peers, store: &Path) -> Result<Self> {
        let logs = store.with_file_name("toolspan-demo-logs");
        if logs.exists() {
            fs::remove_dir_all(&logs)?;
        }
        fs::create_dir_all(&logs)?;
        let port_file = logs.join("collector.port");
        let mut command = started::command(&peers.collector)?;
        command.arg("serve").arg("--store").arg(store);
        command.args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]);
        command.arg("--port-file").arg(&port_file);
        command.stderr(File::create(logs.join("collector.log"))?);
        let mut collector = Started::spawn("toolspan-collector", &mut command)?;
        let ports = collector.wait_for_file(&port_file)?;
        let address = |name: &str| -> Result<String> {
            let line = ports.lines().find_map(|line| line.strip_prefix(name));
            Ok(format!(
                "http://{}",
                line.context("no address in the port file")?.trim()
            ))
        };
        let (grpc, http) = (address("grpc ")?, address("http ")?);
        println!("the collector listens for OTLP on {grpc} (gRPC) and {http} (HTTP)");
        Ok(Self {
            running: Vec::new(),
            collector,
            logs,
            grpc,
            http,
        })
    }

    /// Starts the second tenant's server and the sidecar in front of it; gives the sidecar's URL.
    pub fn serve_over_http(&mut self, peers: &Peers) -> Result<Option<String>> {
        let Some((program, arguments)) = peers.http_server.as_deref().and_then(<[_]>::split_first)
        else {
            return Ok(None);
        };
        let port_file = self.logs.join("server.port");
        let mut server = started::command(program)?;
        server
            .args(arguments)
            .arg("http")
            .arg("--port-file")
            .arg(&port_file);
        server.args(["--service-name", "fixture"]);
        server.stderr(self.open_log("server")?);
        self.export_from(&mut server, "globex");
        let mut server = Started::spawn("the server over HTTP", &mut server)?;
        let upstream = server.wait_for_file(&port_file)?;

        let port_file = self.logs.join("sidecar.port");
        let mut sidecar = started::command(&peers.sidecar)?;
        sidecar.args(["http", "--listen", "127.0.0.1:0", "--tenant", "globex"]);
        sidecar.args(["--service-name", "sidecar"]);
        sidecar.args(["--upstream", &format!("http://{}", upstream.trim())]);
        sidecar.args(["--otlp-endpoint", &self.grpc]);
        sidecar.arg("--port-file").arg(&port_file);
        sidecar.stderr(self.open_log("sidecar-http")?);
        let mut sidecar = Started::spawn("toolspan http", &mut sidecar)?;
        let address = sidecar.wait_for_file(&port_file)?;
        self.running.extend([sidecar, server]);
        Ok(Some(format!("http://{}/mcp", address.trim())))
    }

    /// Lets a peer's own spans go to the collector, under its tenant.
    fn export_from(&self, command: &mut Command, tenant: &str) {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.http);
        command.env("OTEL_RESOURCE_ATTRIBUTES", format!("tenant.id={tenant}"));
    }

    pub fn grpc(&self) -> String {
        self.grpc.clone()
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(name).with_extension("log")
    }

    pub fn open_log(&self, name: &str) -> Result<File> {
        let path = self.log(name);
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Waits until this many sidecars over pipes have said what they did: one whose client was killed
    /// is nobody's child any more, and still has to end the server and send what it saw.
    pub fn wait_for_summaries(&self, sidecars: usize) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = fs::read_to_string(self.log("sidecar-stdio")).unwrap_or_default();
            let ended = log.lines().filter(|line| line.contains(" summary "));
            if ended.count() >= sidecars {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("a sidecar did not end after its client");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the sidecar, the server and then the collector, each after it gave away what it had.
    pub fn end(mut self) -> Result<()> {
        for process in &mut self.running {
            process.stop()?;
        }
        self.collector.stop()
    }
}

/// What a command of the collector prints.
pub fn output(collector: &Path, arguments: &[&str], store: &Path) -> Result<String> {
    let output = started::command(collector)?
        .args(arguments)
        .arg("--store")
        .arg(store)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!(
            "toolspan-collector {arguments:?} ended with {}",
            output.status
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
