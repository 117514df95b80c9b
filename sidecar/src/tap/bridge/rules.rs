//! Takes the settings of a hop. Gives what its bridge follows, all of it at once.
//! Never changes in place: a reload puts another one in its stead.

use std::sync::Arc;
use std::time::Duration;

use super::access::Access;
use crate::config::BridgeSettings;
use crate::session::Hop;
use crate::tenant::TenantRule;
use crate::wire::Address;

/// What a bridge follows; a reload may change it.
#[derive(Debug)]
pub struct Rules {
    /// None when switched off: messages pass, and nothing else happens.
    pub(super) hop: Option<Arc<Hop>>,
    pub(super) settings: BridgeSettings,
    pub(super) tenant: TenantRule,
    /// After so long what nobody uses ends; none for never.
    pub(super) idle: Option<Duration>,
    pub(super) access: Access,
}

impl Rules {
    #[must_use]
    pub fn new(
        hop: Option<Arc<Hop>>,
        settings: BridgeSettings,
        tenant: TenantRule,
        idle: Option<Duration>,
        listen: &Address,
    ) -> Self {
        let access = Access::new(listen, &settings.allowed_hosts, &settings.allowed_origins);
        Self {
            hop,
            settings,
            tenant,
            idle,
            access,
        }
    }

    /// The program, as messages name it.
    pub(super) fn command(&self) -> String {
        let program = self.settings.command.first();
        program.map_or_else(String::new, |program| program.to_string_lossy().into())
    }
}
