//! Takes the headers of a request and the messages in its body. Gives the calls that begin with it.
//! Never reads more of the headers than a call needs.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderValue;

use super::exchange::Calls;
use super::headers;
use crate::clock::{self, Moment};
use crate::frame::line::Edit;
use crate::frame::{Kind, Scanner};
use crate::record::NotInjected;
use crate::session::{Arrival, Direction, Hop, Key, Peers, Scope};
use crate::tenant::TenantRule;
use crate::trace::{Carrier, Decision};

/// Where the messages of a request come from, and what its headers say.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub hop: Arc<Hop>,
    pub scope: Scope,
    pub session: Option<u64>,
    peers: Peers,
    header: Option<Carrier>,
    tenant: Option<HeaderValue>,
    baggage: Option<String>,
    client: Option<SocketAddr>,
    at: Moment,
}

/// The calls that a request opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub calls: Calls,
    pub edits: Vec<Edit>,
    pub injected: Option<Decision>,
}

impl Origin {
    pub fn new(hop: Arc<Hop>, headers: &HeaderMap, client: Option<SocketAddr>) -> Self {
        let session = headers
            .get(headers::SESSION)
            .map(|id| hop.hash_session(id.as_bytes()));
        let mut peers = session.map(|id| hop.peers(id)).unwrap_or_default();
        if peers.protocol_version.is_none() {
            peers.protocol_version = headers
                .get(headers::PROTOCOL_VERSION)
                .and_then(|value| value.to_str().ok())
                .map(Into::into);
        }
        let tenant = match &hop.tenant {
            TenantRule::Header(name) => headers::only(headers, name).cloned(),
            _ => None,
        };
        Self {
            scope: session.map_or_else(|| hop.new_scope(), Scope::Session),
            session,
            peers,
            header: headers::carrier(headers),
            tenant,
            baggage: headers::list(headers, &headers::BAGGAGE),
            client,
            at: clock::now(),
            hop,
        }
    }

    /// Opens, answers and cancels what the messages of a request say.
    pub fn messages(
        &self,
        scanner: &Scanner,
        untouchable: Option<NotInjected>,
        size: usize,
    ) -> Opened {
        let mut opened = Opened::default();
        let untouchable = untouchable.or(scanner.overflowed().then_some(NotInjected::TooLarge));
        for message in scanner.messages() {
            let at = (self.scope, Direction::ToServer);
            match message.kind() {
                Kind::Request => {
                    let added: usize = opened.edits.iter().map(|e| e.with.len()).sum();
                    let arrival = self.arrival(untouchable, size.saturating_add(added));
                    if let Some(call) = self.hop.open(&message, at, &arrival, self.at) {
                        opened.calls.push(call.key);
                        opened.edits.extend(call.edits);
                        opened.injected = opened.injected.or(call.injected);
                    }
                }
                Kind::Notification => self.hop.cancel(&message, at, self.at),
                // The client answers a request of the server.
                Kind::Response => {
                    let key = message.id().map(|id| Key {
                        scope: self.scope,
                        direction: Direction::ToClient,
                        id,
                    });
                    self.hop.answer(&message, key.as_ref(), self.at);
                }
                Kind::Invalid => {}
            }
        }
        opened
    }

    pub fn arrival(&self, untouchable: Option<NotInjected>, size: usize) -> Arrival<'_> {
        Arrival {
            header: self.header.clone(),
            tenant_header: self.tenant.as_ref().map(HeaderValue::as_bytes),
            baggage_header: self.baggage.as_deref(),
            session: self.session,
            peers: self.peers.clone(),
            client_address: self.client,
            untouchable,
            size,
            ..Arrival::default()
        }
    }
}
