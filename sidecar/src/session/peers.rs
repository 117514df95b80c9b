//! Takes what client and server say of themselves. Gives the facts a call's record repeats.
//! Never trusts them for more than display.

use std::sync::Arc;

use crate::frame::{Message, Slot};
use crate::record::Implementation;

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
