//! Takes the settings of a hop. Gives what its bridge follows, all of it at once.
//! Never changes in place: a reload puts another one in its stead.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use super::access::Access;
use super::events::Pace;
use crate::config::{BridgeSettings, Limits};
use crate::session::Hop;
use crate::tenant::Tenants;
use crate::wire::Address;

/// What a bridge follows; a reload may change it.
#[derive(Debug)]
pub struct Rules {
    /// None when switched off: messages pass, and nothing else happens.
    pub(super) hop: Option<Arc<Hop>>,
    pub(super) settings: BridgeSettings,
    pub(super) tenants: Arc<Tenants>,
    /// After so long what nobody uses ends; none for never.
    pub(super) idle: Option<Duration>,
    pub(super) access: Access,
    /// Of clients that read events.
    pub(super) pace: Pace,
}

/// How long one client may hold back a child that others may wait for, whatever it may take of its own.
const STALL: Duration = Duration::from_secs(30);

impl Rules {
    #[must_use]
    pub fn new(
        hop: Option<Arc<Hop>>,
        settings: BridgeSettings,
        tenants: Arc<Tenants>,
        limits: &Limits,
        listen: &Address,
    ) -> Self {
        let access = Access::new(listen, &settings.allowed_hosts, &settings.allowed_origins);
        let pace = Pace {
            max_bytes: settings.max_replay_bytes,
            stall: STALL.min(limits.bounds.write_idle),
        };
        Self {
            hop,
            settings,
            tenants,
            idle: limits.session_idle,
            access,
            pace,
        }
    }

    /// Some rules, for tests that need any.
    #[cfg(test)]
    pub fn of_any() -> Self {
        let settings = BridgeSettings {
            command: vec!["server".into()],
            mcp_path: "/mcp".to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_sessions: 1,
            max_message_bytes: 1,
            max_held_bytes: 1,
            max_replay_bytes: 1,
        };
        let limits = Limits {
            max_open_calls: 1,
            long_call_after: Duration::MAX,
            session_idle: None,
            connect_timeout: Duration::ZERO,
            max_connections: 1,
            bounds: crate::tap::http::Bounds::default(),
        };
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        Self::new(None, settings, Arc::default(), &limits, &any)
    }

    /// The program, as messages name it.
    pub(super) fn command(&self) -> String {
        program(&self.settings.command)
    }
}

/// The program of a command: its arguments may hold secrets.
pub(super) fn program(command: &[OsString]) -> String {
    let program = command.first();
    program.map_or_else(String::new, |program| program.to_string_lossy().into())
}
