//! Takes one session: a client, a script, a server and the sidecar between them. Gives it played.
//! Never judges an outcome: failing is what most of the demo's sessions are for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{ChildStdout, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::peers::{Peers, Stage};

/// Where the server is, as the client sees it.
#[derive(Clone)]
pub enum Place {
    /// A command that the client spawns through the sidecar.
    Stdio(Vec<OsString>),
    /// The sidecar's address, in front of a server that is running.
    Http(String),
}

/// One session of a client.
pub struct Act {
    pub tenant: &'static str,
    pub title: &'static str,
    pub mode: &'static str,
    pub place: Place,
    pub headers: Vec<&'static str>,
    pub script: Value,
}

impl Act {
    /// Whether the client spawns the sidecar.
    pub fn over_pipes(&self) -> bool {
        matches!(self.place, Place::Stdio(_))
    }

    /// Runs the client to its end; gives how many requests it says it sent.
    pub fn play(&self, peers: &Peers, stage: &mut Stage) -> Result<u64> {
        let mut client = peers.client(stage, self.tenant)?;
        client.args(["--mode", self.mode, "--service-name", "agent"]);
        for header in &self.headers {
            client.args(["--header", header]);
        }
        match &self.place {
            Place::Http(url) => {
                client.args(["--url", url]);
            }
            Place::Stdio(server) => {
                client.arg("--").arg(&peers.sidecar);
                client.args(["stdio", "--tenant", self.tenant]);
                client.args(["--service-name", "sidecar"]);
                client.args(["--otlp-endpoint", &stage.grpc(), "--log-file"]);
                client
                    .arg(stage.log("sidecar-stdio"))
                    .arg("--")
                    .args(server);
            }
        }
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stage.open_log("clients")?)
            .spawn()
            .context("cannot start a client")?;
        let mut to = child.stdin.take().context("no pipe to the client")?;
        to.write_all(self.script.to_string().as_bytes())?;
        drop(to);
        let from = child.stdout.take().context("no pipe from the client")?;
        let outcomes = self.watch(from)?;
        child.wait()?;
        Ok(outcomes.values().sum())
    }

    /// Counts the client's lines, one for each request, and shows how far it is.
    fn watch(&self, from: ChildStdout) -> Result<BTreeMap<String, u64>> {
        let mut outcomes = BTreeMap::new();
        let terminal = std::io::stdout().is_terminal();
        for line in BufReader::new(from).lines() {
            let said: Value = serde_json::from_str(&line?).context("a client printed no JSON")?;
            let outcome = said.get("outcome").and_then(Value::as_str);
            *outcomes
                .entry(outcome.unwrap_or("?").to_owned())
                .or_default() += 1;
            if terminal {
                print!("\r\x1b[K{}", self.line(&outcomes));
                std::io::stdout().flush()?;
            }
        }
        let start = if terminal { "\r\x1b[K" } else { "" };
        println!("{start}{}", self.line(&outcomes));
        Ok(outcomes)
    }

    fn line(&self, outcomes: &BTreeMap<String, u64>) -> String {
        let total: u64 = outcomes.values().sum();
        let parts: Vec<String> = outcomes
            .iter()
            .map(|(outcome, count)| format!("{outcome} {count}"))
            .collect();
        format!(
            "  {:<7} {:<28} {total:>4} requests: {}",
            self.tenant,
            self.title,
            parts.join(", ")
        )
    }
}
