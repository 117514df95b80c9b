//! Takes the name of a transport. Gives a running `server-everything` of npm on a port of its own.
//! Never changes the server: a module loaded before it says where it listens.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::process::{Guarded, piped, wait_for_port_file, without_telemetry_variables};
use crate::programs;

pub struct NodeServer {
    _process: Guarded,
    address: String,
    _folder: TempDir,
}

impl NodeServer {
    /// `sse` or `streamableHttp`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(transport: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let port_file = folder.path().join("port");
        let says_its_port = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/says_its_port.mjs");
        let server = "@modelcontextprotocol/server-everything/dist/index.js";
        let mut command = piped(Path::new("node"));
        command
            .arg("--import")
            .arg(says_its_port)
            .arg(programs::node_module(server))
            .arg(transport)
            .env("PORT", "0")
            .env("PORT_FILE", &port_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        without_telemetry_variables(&mut command);
        let mut process = Guarded::spawn(&mut command).expect("node starts");
        let address = wait_for_port_file(&port_file, &mut process);
        Self {
            _process: process,
            address: address.trim().to_owned(),
            _folder: folder,
        }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
