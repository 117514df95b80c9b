//! Takes the SDKs of the matrix. Gives what each speaks, and the command line of its server and its client.
//! Never starts anything.

use std::path::PathBuf;

use super::column::{Column, Era, Transport};
use crate::programs;

/// An SDK, real and pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sdk {
    Python1,
    Python2,
    FastMcp,
    TypeScript1,
    TypeScript2,
    Everything,
    Rmcp,
    Go,
}

/// What an SDK plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Server,
    Client,
}

impl Part {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl Sdk {
    pub const ALL: [Self; 8] = [
        Self::Python1,
        Self::Python2,
        Self::FastMcp,
        Self::TypeScript1,
        Self::TypeScript2,
        Self::Everything,
        Self::Rmcp,
        Self::Go,
    ];

    /// Its folder under `tests/sdk`, and its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Python1 => "python-1",
            Self::Python2 => "python-2",
            Self::FastMcp => "fastmcp",
            Self::TypeScript1 => "typescript-1",
            Self::TypeScript2 => "typescript-2",
            Self::Everything => "everything",
            Self::Rmcp => "rmcp",
            Self::Go => "go",
        }
    }

    /// How the table names it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Python1 => "Python `mcp` 1.30.0",
            Self::Python2 => "Python `mcp` 2.3.0",
            Self::FastMcp => "FastMCP 4.1.2",
            Self::TypeScript1 => "TypeScript `sdk` 1.32.2",
            Self::TypeScript2 => "TypeScript `server`, `client` 2.4.0",
            Self::Everything => "`server-everything` 2026.8.31",
            Self::Rmcp => "Rust `rmcp` 3.9.0",
            Self::Go => "Go SDK 1.8.0",
        }
    }

    #[must_use]
    pub fn speaks(self, part: Part, transport: Transport, era: Era) -> bool {
        let legacy = era == Era::Legacy;
        match (self, transport) {
            (Self::Everything, _) if part == Part::Client => false,
            (Self::Python1, _) => legacy,
            (Self::TypeScript1, Transport::WebSocket) => part == Part::Client,
            (_, Transport::WebSocket) => false,
            (Self::TypeScript1 | Self::Everything, _) => legacy,
            (Self::TypeScript2, Transport::Sse) => part == Part::Client,
            (Self::Rmcp, Transport::Sse) => false,
            _ => true,
        }
    }

    /// Whether its client compresses its messages, where the server agrees: those are read along, but go on as they
    /// are. In front of a command nobody agrees.
    pub(super) fn compresses(self, column: Column) -> bool {
        self == Self::Python1 && column == Column::WebSocket
    }

    /// What plays the other part.
    pub(super) fn reference(transport: Transport) -> Self {
        match transport {
            // The second version has dropped it.
            Transport::WebSocket => Self::Python1,
            _ => Self::Python2,
        }
    }

    pub(super) fn server(self, transport: Transport) -> Vec<PathBuf> {
        let mut command = self.program(Part::Server);
        command.push(transport.argument().into());
        command
    }

    pub(super) fn client(self) -> Vec<PathBuf> {
        self.program(Part::Client)
    }

    fn program(self, part: Part) -> Vec<PathBuf> {
        let script =
            |end: &str| programs::sdk_file(&format!("{}/{}.{end}", self.name(), part.name()));
        match self {
            Self::Python1 => vec![programs::python_1(), script("py")],
            Self::Python2 | Self::FastMcp => vec![programs::python(), script("py")],
            // Node 20 has WebSocket behind a flag, later versions without one.
            Self::TypeScript1 if part == Part::Client => {
                let flag = "--experimental-websocket";
                vec!["node".into(), flag.into(), script("cjs")]
            }
            Self::TypeScript1 | Self::TypeScript2 | Self::Everything => {
                vec!["node".into(), script("cjs")]
            }
            Self::Rmcp => vec![programs::own("rmcp-sdk"), part.name().into()],
            Self::Go => vec![programs::go_peer(part.name())],
        }
    }
}
