//! Takes a command line of the matrix. Gives a running server, or what a client printed.
//! Never shares its mark with another cell: by it every process of a cell is found again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::column::{Era, Transport};
use super::sdk::Sdk;
use crate::process::{Guarded, PATIENCE, shell_code, start_server, without_telemetry_variables};
use crate::programs;

/// A variable that every process of a cell inherits.
const MARK: &str = "SDK_MATRIX_CELL";

/// What one cell's processes have in common.
#[derive(Debug)]
pub struct Mark {
    text: String,
    /// The span that the client claims as its own.
    pub traceparent: String,
    pub trace_id: String,
}

impl Mark {
    pub fn new() -> Self {
        let trace_id = format!("{:032x}", fastrand::u128(1..));
        Self {
            text: trace_id.clone(),
            traceparent: format!("00-{trace_id}-{:016x}-01", fastrand::u64(1..)),
            trace_id,
        }
    }

    pub fn variable(&self) -> (&'static str, &str) {
        (MARK, &self.text)
    }

    fn put_on(&self, command: &mut Command) {
        without_telemetry_variables(command);
        command.env(MARK, &self.text);
        // A peer on Node may be spawned by one that is not.
        command.env("NODE_PATH", node_path());
    }

    /// The cell's processes that still run, with their command lines.
    fn running(&self) -> Vec<(u32, String)> {
        let wanted = format!("{MARK}={}", self.text);
        let is_ours = |folder: &Path| {
            let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
            let mut pairs = environment.split(|byte| *byte == 0);
            pairs.any(|pair| pair == wanted.as_bytes())
        };
        std::fs::read_dir("/proc")
            .expect("/proc can be read")
            .filter_map(|entry| {
                let folder = entry.ok()?.path();
                let id = folder.file_name()?.to_str()?.parse().ok()?;
                is_ours(&folder).then(|| (id, command_line(&folder)))
            })
            .collect()
    }

    /// Waits until no process of the cell runs but this one.
    ///
    /// # Panics
    /// When others are left running.
    pub fn wait_for_only(&self, process: u32) {
        self.wait_until(|running| running.iter().all(|(id, _)| *id == process));
    }

    /// Waits until nothing of the cell runs.
    ///
    /// # Panics
    /// When something is left running.
    pub fn wait_for_no_one(&self) {
        self.wait_until(<[_]>::is_empty);
    }

    fn wait_until(&self, enough: impl Fn(&[(u32, String)]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let running = self.running();
            if enough(&running) {
                return;
            }
            assert!(Instant::now() < deadline, "left running: {running:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Where peers on Node find their packages.
pub fn node_path() -> String {
    programs::node_module("").display().to_string()
}

fn command_line(folder: &Path) -> String {
    let bytes = std::fs::read(folder.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Where a client finds its server.
#[derive(Debug, Clone, Copy)]
pub enum Goal<'a> {
    Url(&'a str),
    Command(&'a [PathBuf]),
}

/// Runs a client to its end, and gives the lines it printed.
///
/// # Errors
/// When it does not end well, with what it said.
pub fn run_client(
    sdk: Sdk,
    (transport, era): (Transport, Era),
    mark: &Mark,
    script: &Value,
    goal: Goal,
) -> Result<Vec<Value>, String> {
    let (mut command, folder) = (as_command(&sdk.client()), scratch());
    let errors = folder.path().join("stderr");
    let file = std::fs::File::create(&errors).expect("a file in the scratch folder");
    command
        .args(["--transport", transport.argument()])
        .args(["--era", era.argument()])
        .args(["--traceparent", &mark.traceparent])
        .args(["--script", &script.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file);
    match goal {
        Goal::Url(url) => command.args(["--url", url]),
        Goal::Command(server) => command.arg("--").args(server),
    };
    mark.put_on(&mut command);
    let mut process = Guarded::spawn(&mut command).expect("the client starts");
    let reader = process.take_stdout().map(|mut out| {
        std::thread::spawn(move || std::io::read_to_string(&mut out).expect("text"))
    });
    let code = shell_code(process.wait_for(PATIENCE * 2));
    let text = reader.map_or_else(String::new, |reader| reader.join().expect("no panic"));
    if code != 0 {
        let said = std::fs::read_to_string(&errors).unwrap_or_default();
        return Err(format!("the client ended with {code}: {text}\n{said}"));
    }
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}")))
        .collect()
}

/// A running server of an SDK.
pub struct Server {
    process: Guarded,
    address: String,
}

impl Server {
    /// # Panics
    /// When it does not start.
    pub fn start(sdk: Sdk, transport: Transport, mark: &Mark) -> Self {
        let mut command = as_command(&sdk.server(transport));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        mark.put_on(&mut command);
        let (process, address) = start_server(&mut command);
        Self { process, address }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it in order.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(mut self) {
        drop(self.process.take_stdin());
        self.process.wait();
    }
}

fn as_command(line: &[PathBuf]) -> Command {
    let (program, arguments) = line.split_first().expect("a command line has a program");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch folder")
}
