//! Takes what client and server say of themselves. Gives the facts a call's record repeats.
//! Never trusts them for more than display, and never keeps more sessions than its bound.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Moment;
use crate::frame::{Message, Slot};
use crate::record::{HopInfo, Implementation, SessionRecord, Tenant};

use super::Answered;

/// What is known of the two peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    pub protocol_version: Option<Arc<str>>,
    pub client: Option<Arc<Implementation>>,
    pub server: Option<Arc<Implementation>>,
}

impl Peers {
    /// A request of the newest protocol says all of it in its `_meta`; `initialize` says it in its params.
    pub fn learn_from_request(&mut self, message: &Message<'_>) {
        let version = message
            .text(Slot::MetaProtocolVersion)
            .or_else(|| message.text(Slot::ParamsProtocolVersion));
        if let Some(version) = version {
            replace(&mut self.protocol_version, &version);
        }
        renew(
            &mut self.client,
            message,
            (Slot::ClientName, Slot::ClientVersion),
        );
    }

    /// The version that was agreed on, and who the server says it is.
    pub fn learn_from_answer(&mut self, message: &Message<'_>, initialize: bool) {
        if initialize && let Some(version) = message.text(Slot::ResultProtocolVersion) {
            replace(&mut self.protocol_version, &version);
        }
        renew(
            &mut self.server,
            message,
            (Slot::ServerName, Slot::ServerVersion),
        );
    }
}

fn replace(held: &mut Option<Arc<str>>, text: &str) {
    if held.as_deref() != Some(text) {
        *held = Some(text.into());
    }
}

fn renew(held: &mut Option<Arc<Implementation>>, message: &Message<'_>, slots: (Slot, Slot)) {
    let Some(name) = message.text(slots.0) else {
        return;
    };
    let version = message.text(slots.1).unwrap_or_default();
    let same = held
        .as_deref()
        .is_some_and(|held| *held.name == *name && *held.version == *version);
    if !same {
        *held = Some(Arc::new(Implementation {
            name: name.into(),
            version: version.into(),
        }));
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub peers: Peers,
    pub tenant: Tenant,
    pub began: Moment,
}

impl Session {
    fn end(
        self,
        hop: &Arc<HopInfo>,
        error_type: Option<&'static str>,
        now: Moment,
    ) -> SessionRecord {
        SessionRecord {
            hop: Arc::clone(hop),
            tenant: self.tenant,
            protocol_version: self.peers.protocol_version,
            duration: now
                .monotonic
                .saturating_duration_since(self.began.monotonic),
            error_type,
        }
    }
}

/// The legacy sessions of a hop, by the keyed hash of their id.
#[derive(Debug)]
pub struct Sessions {
    open: HashMap<u64, Session>,
    max: usize,
}

impl Sessions {
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            open: HashMap::new(),
            max: max.max(1),
        }
    }

    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&u64, &Session)> {
        self.open.iter()
    }

    #[must_use]
    pub fn peers(&self, id: u64) -> Peers {
        self.open
            .get(&id)
            .map(|session| session.peers.clone())
            .unwrap_or_default()
    }

    /// Adds a session; gives back the one that had to go because there were too many.
    pub fn begin(
        &mut self,
        id: u64,
        answered: &Answered,
        hop: &Arc<HopInfo>,
    ) -> Option<SessionRecord> {
        let full = self.open.len() >= self.max && !self.open.contains_key(&id);
        let oldest = full
            .then(|| self.open.iter().min_by_key(|(_, s)| s.began.monotonic))
            .flatten()
            .map(|(id, _)| *id);
        let evicted = oldest.and_then(|id| self.open.remove(&id));
        let session = Session {
            peers: answered.peers.clone(),
            tenant: answered.tenant.clone(),
            began: answered.started,
        };
        self.open.insert(id, session);
        evicted.map(|old| old.end(hop, Some("evicted"), answered.started))
    }

    pub fn end(
        &mut self,
        id: u64,
        hop: &Arc<HopInfo>,
        error_type: Option<&'static str>,
        now: Moment,
    ) -> Option<SessionRecord> {
        self.open
            .remove(&id)
            .map(|session| session.end(hop, error_type, now))
    }

    pub fn drain(&mut self, hop: &Arc<HopInfo>, now: Moment) -> Vec<SessionRecord> {
        self.open
            .drain()
            .map(|(_, session)| session.end(hop, None, now))
            .collect()
    }
}
