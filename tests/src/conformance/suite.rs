//! Takes a requirement set, a side and a path. Gives everything the suite found, after a run of its own.
//! Never asks the suite for its verdict: it would judge the fixture, and the question is the path.

use std::fs::File;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::client::{CLIENT, PATH, SOCKET};
use super::fixture;
use super::found::Found;
use super::way::Way;
use super::{Path, Requirements, Side};
use crate::process::{Guarded, without_telemetry_variables};
use crate::programs;
use crate::sidecar::argument;

/// A whole run; a hanging scenario has a deadline of the suite's own, far below.
const PATIENCE: Duration = Duration::from_secs(400);
/// Milliseconds for one scenario; `patient.mjs` makes five times that of it.
const SCENARIO: &str = "60000";

/// Runs all scenarios of a requirement set.
///
/// # Panics
/// When the suite cannot be run, or a hop of the path lost something.
#[must_use]
pub fn run(requirements: Requirements, side: Side, path: Path) -> Found {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut command = suite(requirements, side, folder.path());
    match side {
        Side::Server => against_server(path, &mut command, folder.path()),
        Side::Client => {
            let client = fixture::AtSocket::client();
            command
                .args(["--command", &format!("\"${CLIENT}\" client")])
                .env(CLIENT, programs::own("conformance"))
                .env(SOCKET, client.socket())
                .env(PATH, path.name())
                .env("TOOLSPAN_BIN", programs::toolspan());
            finish(&mut command, folder.path());
        }
    }
    let prefix = if side == Side::Server { "server-" } else { "" };
    Found::read(&folder.path().join("found"), prefix)
}

fn against_server(path: Path, command: &mut Command, folder: &FilePath) {
    if path == Path::Bridge {
        return against_bridge(command, folder);
    }
    let server = fixture::Server::start();
    let way = Way::start(path, &format!("http://127.0.0.1:{}", server.port()));
    let first = way.address().map(|address| address.port());
    run_at(first.unwrap_or(server.port()), command, folder);
    let seen = way.stop();
    assert!(path == Path::Direct || seen > 0, "the path saw no call");
}

/// The server's standard input and output behind a hop.
fn against_bridge(command: &mut Command, folder: &FilePath) {
    let server = fixture::AtSocket::server();
    let (own, socket) = (programs::own("conformance"), server.socket());
    let way = Way::bridge(&[argument(&own), "stdio"], &[(SOCKET, argument(&socket))]);
    let first = way.address().expect("a bridge is a hop");
    run_at(first.port(), command, folder);
    assert!(way.stop() > 0, "the bridge saw no call");
}

fn run_at(port: u16, command: &mut Command, folder: &FilePath) {
    // By name, because one scenario is about what a server on localhost must refuse.
    command.args(["--url", &format!("http://localhost:{port}/mcp")]);
    finish(command, folder);
}

fn suite(requirements: Requirements, side: Side, folder: &FilePath) -> Command {
    let patient = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("node/patient.mjs");
    // The suite needs a newer Node than many machines have, so one comes with it.
    let mut command = Command::new(programs::node_module(".bin/node"));
    command
        .arg("--import")
        .arg(patient)
        .arg(programs::node_module(
            "@modelcontextprotocol/conformance/dist/index.js",
        ))
        .args([side.name(), "--requirements", requirements.name()])
        .args(["--timeout", SCENARIO])
        .arg("--output-dir")
        .arg(folder.join("found"))
        .stdin(Stdio::null());
    without_telemetry_variables(&mut command);
    command
}

/// Runs it to its end. Its exit code is a verdict over the fixture, so only that it ended by itself counts.
fn finish(command: &mut Command, folder: &FilePath) {
    let log = folder.join("log");
    let file = File::create(&log).expect("a file in the scratch folder");
    command
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file);
    let mut process = Guarded::spawn(command).expect("the suite starts");
    let status = process.wait_for(PATIENCE);
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(
        status.code().is_some() && said.contains("Total:"),
        "the suite ended with {status}:\n{said}"
    );
}
