//! Takes nothing. Gives the project's own peers of the suite, on the official Python package: a server that has
//! what the scenarios ask for, and a client that plays them, all of them in one process.
//! Never outlives its guard.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{
    Guarded, PATIENCE, eventually, wait_for_port_file, without_telemetry_variables,
};
use crate::programs;

/// The fixture server over HTTP.
pub(super) struct Server {
    _process: Guarded,
    _folder: TempDir,
    port: u16,
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let port_file = folder.path().join("port");
        let mut command = python("conformance_server.py");
        command.args(["http", "--port-file"]).arg(&port_file);
        let mut process = Guarded::spawn(&mut command).expect("the server starts");
        let address = wait_for_port_file(&port_file, &mut process);
        let port = address.trim().rsplit(':').next().map(str::parse);
        Self {
            _process: process,
            _folder: folder,
            port: port.and_then(Result::ok).expect("a port in the port file"),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

/// A fixture that waits at a socket: one process for all who come.
pub(super) struct AtSocket {
    _process: Guarded,
    folder: TempDir,
}

impl AtSocket {
    /// The client, to which each connection brings a scenario.
    pub(super) fn client() -> Self {
        Self::start(&mut python("conformance_client.py"))
    }

    /// The server, to which each connection is standard input and output.
    pub(super) fn server() -> Self {
        Self::start(python("conformance_server.py").arg("socket"))
    }

    fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let socket = socket_in(folder.path());
        let mut process = Guarded::spawn(command.arg(&socket)).expect("the fixture starts");
        eventually("the fixture's socket", PATIENCE, || {
            assert!(process.is_running(), "the fixture ended before it listened");
            socket.exists().then_some(())
        });
        Self {
            _process: process,
            folder,
        }
    }

    pub(super) fn socket(&self) -> PathBuf {
        socket_in(self.folder.path())
    }
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("socket")
}

/// A script of ours; it ends when the pipe of its standard input closes.
fn python(script: &str) -> Command {
    let mut command = Command::new(programs::python());
    command
        .arg(programs::python_script(script))
        .stdin(Stdio::piped());
    without_telemetry_variables(&mut command);
    command
}
