//! Takes the headers of a request and the messages in its body. Gives the calls that begin with it.
//! Never reads more of the headers than a call needs.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Version};

use super::calls::Calls;
use super::{ClientInfo, headers};
use crate::clock::{self, Moment};
use crate::frame::line::Edit;
use crate::frame::{Kind, Scanner, Slot};
use crate::record::NotInjected;
use crate::session::{Arrival, Direction, Hop, Key, Peers, Scope};
use crate::tenant::Standing;
use crate::trace::{Carrier, Decision};

/// Where the messages of a request come from, and what its headers say.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub hop: Arc<Hop>,
    pub scope: Scope,
    pub session: Option<u64>,
    /// The request goes to the URI of an HTTP+SSE stream, which brings the answers.
    pub to_stream: bool,
    /// The header names the newest protocol, which has no sessions.
    pub modern: bool,
    peers: Peers,
    header: Option<Carrier>,
    standing: Standing,
    baggage: Option<String>,
    client: Option<SocketAddr>,
    /// The version of HTTP that the client speaks.
    http: &'static str,
    at: Moment,
}

/// The calls that a request opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub calls: Calls,
    pub edits: Vec<Edit>,
    pub injected: Option<Decision>,
    /// A request says it is of the newest protocol.
    pub modern: bool,
}

impl Origin {
    /// `address` is that of the client, which may stand behind a proxy that has connected to us.
    pub fn new(
        hop: Arc<Hop>,
        request: &http::request::Parts,
        client: &ClientInfo,
        address: Option<SocketAddr>,
    ) -> Self {
        let (headers, at) = (&request.headers, clock::now());
        let version = headers
            .get(headers::PROTOCOL_VERSION)
            .and_then(|value| value.to_str().ok());
        let modern = version.is_some_and(is_modern);
        let session = headers
            .get(headers::SESSION)
            .filter(|_| !modern)
            .map(|id| hop.hash_session(id.as_bytes()));
        let stream = match session {
            None if request.method == Method::POST => hop.has_stream(|| {
                let target = request
                    .uri
                    .path_and_query()
                    .map_or("/", |path| path.as_str());
                hop.hash_session(target.as_bytes())
            }),
            _ => None,
        };
        let session = session.or(stream);
        let mut peers = session
            .map(|id| hop.enter_session(id, at))
            .unwrap_or_default();
        if peers.protocol_version.is_none() {
            peers.protocol_version = version.map(Into::into);
        }
        Self {
            scope: session.map_or_else(|| hop.new_scope(), Scope::Session),
            session,
            to_stream: stream.is_some(),
            modern,
            peers,
            header: headers::carrier(headers),
            standing: hop.tenants.judge(&client.evidence(headers, at.wall)),
            baggage: (hop.tenants.reads_baggage())
                .then(|| headers::list(headers, &headers::BAGGAGE))
                .flatten(),
            client: address,
            http: http_version(request.version),
            at,
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
                    let version = message.text(Slot::MetaProtocolVersion);
                    opened.modern |= version.is_some_and(|version| is_modern(&version));
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
            standing: Some(&self.standing),
            baggage_header: self.baggage.as_deref(),
            session: self.session,
            peers: self.peers.clone(),
            client_address: self.client,
            http_version: Some(self.http),
            untouchable,
            size,
            ..Arrival::default()
        }
    }
}

/// From this revision on there are no sessions, and closing a stream is a cancel. Revisions are dates, so they sort.
fn is_modern(version: &str) -> bool {
    version >= "2026-07-28" && version.starts_with(|c: char| c.is_ascii_digit())
}

/// As `network.protocol.version` names it.
fn http_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
