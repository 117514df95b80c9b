//! Takes a configuration file. Gives a running `toolspan http` of several hops, with its admin listener, and reloads it.
//! Never guesses a port: addresses are read from the log, which names each hop.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http_client::{HttpClient, Response};
use crate::process::{Guarded, PATIENCE, eventually, shell_code, without_telemetry_variables};
use crate::programs;
use crate::sidecar::{Log, Summary};

/// What a reload ends with, in the log.
pub const RELOADED: &str = "configuration reloaded";
pub const NOT_RELOADED: &str = "configuration not reloaded: nothing has changed";

/// A running `toolspan http` with a file.
pub struct Fleet {
    process: Guarded,
    folder: TempDir,
    pub log: Log,
}

impl Fleet {
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(config: &str) -> Self {
        let mut fleet = Self::spawn(config);
        let Fleet { process, log, .. } = &mut fleet;
        eventually("the admin listener", PATIENCE, || {
            let listens = log.all("admin listening").pop();
            assert!(
                listens.is_some() || process.is_running(),
                "it ended before it listened: {}",
                log.text()
            );
            listens
        });
        fleet
    }

    /// Starts it, and does not wait.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn spawn(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let log = Log::default();
        let mut command = Command::new(programs::toolspan());
        command
            .args(["http", "--admin", "127.0.0.1:0", "--config"])
            .arg(folder.path().join("config.toml"))
            .args(log.options())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        without_telemetry_variables(&mut command);
        write(&folder, config);
        let process = Guarded::spawn(&mut command).expect("the sidecar starts");
        Self {
            process,
            folder,
            log,
        }
    }

    /// What it says of a start that fails, and the code it ends with.
    ///
    /// # Panics
    /// When it runs on.
    #[must_use]
    pub fn refusal(mut self) -> (i32, String) {
        let code = shell_code(self.process.wait());
        let mut stderr = self.process.take_stderr().expect("its errors are a pipe");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut text).expect("its errors are text");
        (code, text)
    }

    /// Changes the file, asks for a reload, and gives the line of the log that says what came of it.
    ///
    /// # Panics
    /// When nothing came of it.
    #[must_use]
    pub fn reload(&self, config: &str) -> Value {
        let outcomes = || [RELOADED, NOT_RELOADED].map(|message| self.log.all(message));
        let before = outcomes().map(|lines| lines.len());
        write(&self.folder, config);
        self.signal(Signal::HUP);
        eventually("the end of a reload", PATIENCE, || {
            let after = outcomes().into_iter().zip(before);
            after
                .filter(|(lines, before)| lines.len() > *before)
                .find_map(|(mut lines, _)| lines.pop())
        })
    }

    /// Where the hop of this name listens, as it last said.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn hop(&self, name: &str) -> SocketAddr {
        let lines = self.log.all("listening");
        let line = lines
            .iter()
            .rfind(|line| line["hop"] == name)
            .unwrap_or_else(|| panic!("no hop {name}: {}", self.log.text()));
        address(line)
    }

    /// A connection to this hop.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn connect(&self, name: &str) -> HttpClient {
        HttpClient::connect(self.hop(name)).expect("the hop listens")
    }

    /// # Panics
    /// When there is no admin listener.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        address(&self.log.wait_for("admin listening"))
    }

    /// Asks the admin listener.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str) -> Response {
        let mut client = HttpClient::connect(self.admin()).expect("it listens");
        client.send(method, path, &[], b"").expect("an answer")
    }

    /// The lines of `/metrics` as names with labels, and values.
    ///
    /// # Panics
    /// When it does not answer, or with something else.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.ask("GET", "/metrics").text();
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no metric {name} in\n{page}"))
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end, and gives its ledger.
    ///
    /// # Panics
    /// When it does not end in order.
    #[must_use]
    pub fn wait(mut self) -> (Summary, Log) {
        let code = shell_code(self.process.wait());
        assert_eq!(code, 0, "{}", self.log.text());
        (self.log.summary(), self.log)
    }

    /// Ends it as an operator would, and gives its ledger, which holds.
    ///
    /// # Panics
    /// When it does not end in order.
    #[must_use]
    pub fn stop(self) -> (Summary, Log) {
        self.signal(Signal::TERM);
        let (summary, log) = self.wait();
        summary.assert_conserved();
        (summary, log)
    }
}

fn write(folder: &TempDir, config: &str) {
    std::fs::write(folder.path().join("config.toml"), config).expect("a scratch file");
}

fn address(line: &Value) -> SocketAddr {
    let text = line["address"].as_str().expect("the log names an address");
    text.parse().expect("an address")
}
