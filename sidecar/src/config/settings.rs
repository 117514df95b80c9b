//! Takes nothing. Gives the settings as the rest of the program reads them, each already judged.
//! Never holds a text that still has to be understood.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::export::ExportSettings;
use crate::record::{HopResource, Side};
use crate::tap::http::{Bounds, Manners};
use crate::tenant::TenantRule;
use crate::wire::tls::{ClientFiles, ServerFiles};
use crate::wire::{Address, Endpoint, HttpChoice};

/// Everything the process was told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TOOLSPAN_DISABLED`: forward and do nothing else.
    pub disabled: bool,
    pub telemetry: ExportSettings,
    pub log: LogSettings,
    pub limits: Limits,
    /// Where the admin listener of `toolspan http` listens, if anywhere.
    pub admin: Option<Address>,
    /// How long open streams may go on after the first signal.
    pub drain: Duration,
    /// The hops of `toolspan http`.
    pub hops: Vec<HopSettings>,
    /// The hop of `toolspan stdio`.
    pub stdio: HopCommon,
    /// Variables that cannot be followed; told once the log is open.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSettings {
    pub file: Option<PathBuf>,
    pub format: LogFormat,
    /// None: WARN on stderr, INFO in a file.
    pub level: Option<tracing::Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_open_calls: usize,
    /// After so long an open call is a long one.
    pub long_call_after: Duration,
    /// After so long a session that nobody uses is over; none for never.
    pub session_idle: Option<Duration>,
    pub connect_timeout: Duration,
    pub max_connections: usize,
    /// What one connection of a client may cost.
    pub bounds: Bounds,
}

/// What hops of both kinds have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopCommon {
    pub tenant: TenantRule,
    pub side: Side,
    pub span_pair: bool,
    pub inject: bool,
    pub max_inject_bytes: usize,
    /// `service.name` and attributes of this hop alone, as its `[[hop]]` says.
    pub resource: HopResource,
}

/// One hop of `toolspan http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopSettings {
    pub name: String,
    pub listen: Address,
    /// TLS towards clients.
    pub tls: Option<ServerFiles>,
    pub server: Server,
    pub common: HopCommon,
    pub port_file: Option<PathBuf>,
}

/// What is behind a hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    Upstream(Upstream),
    Command(BridgeSettings),
}

impl std::fmt::Display for Server {
    /// As logs name it: of a command only the program, because its arguments may hold secrets.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Upstream(upstream) => out.write_str(&upstream.authority),
            Self::Command(bridge) => {
                let program = bridge.command.first();
                program.map_or(Ok(()), |program| write!(out, "{}", program.display()))
            }
        }
    }
}

/// A stdio server that is served over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSettings {
    pub command: Vec<OsString>,
    pub mcp_path: String,
    /// Without a port each port counts; in lower case.
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub max_sessions: usize,
    pub max_message_bytes: usize,
    /// At least as much as one message.
    pub max_held_bytes: usize,
    pub max_replay_bytes: usize,
}

/// The server behind a hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub endpoint: Endpoint,
    /// The path of the URL, without a slash at its end.
    pub prefix: String,
    /// As it was given: what a `Host` header would hold.
    pub authority: String,
    pub tls: Option<UpstreamTls>,
    pub http: HttpChoice,
    pub manners: Manners,
}

/// TLS towards a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    pub files: ClientFiles,
    /// Who the server must be.
    pub name: String,
}

/// Which of the hops are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Stdio,
    Http,
    /// `toolspan config`: hops are looked at where there are any.
    Check,
}
