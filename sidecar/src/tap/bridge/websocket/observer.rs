//! Takes what the handshake of a connection says, and its messages. Gives their calls, and what to splice in.
//! Never sees a message twice.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;

use crate::frame::line::{Edit, Line};
use crate::frame::{Malformed, Scanner};
use crate::record::HopInfo;
use crate::session::{Arrival, Direction};
use crate::tap::bridge::Bridge;
use crate::tap::bridge::request::standing;
use crate::tap::duplex::Duplex;
use crate::tap::http::ClientInfo;
use crate::tap::http::headers;
use crate::tenant::Standing;
use crate::trace::Carrier;

/// What is told of the calls of a connection, by its handshake.
#[derive(Debug)]
pub(super) struct Observer {
    pub duplex: Duplex,
    info: Arc<HopInfo>,
    header: Option<Carrier>,
    standing: Standing,
    baggage: Option<String>,
    client: Option<SocketAddr>,
}

impl Observer {
    pub fn new(bridge: &Bridge, client: &ClientInfo, headers: &HeaderMap) -> Option<Self> {
        let hop = bridge.hop()?;
        let (session, scope) = hop.new_session();
        let info = HopInfo {
            network_protocol_name: Some("websocket"),
            network_protocol_version: None,
            ..(*hop.info).clone()
        };
        Some(Self {
            info: Arc::new(info),
            header: headers::carrier(headers),
            standing: standing(&hop.tenants, client, headers),
            baggage: headers::list(headers, &headers::BAGGAGE),
            client: client.address,
            duplex: Duplex::new(hop, scope, session),
        })
    }

    pub fn see(&self, direction: Direction, scanned: Result<&Scanner, Malformed>) -> Vec<Edit> {
        let from_client = direction == Direction::ToServer;
        let arrival = Arrival {
            info: Some(Arc::clone(&self.info)),
            header: self.header.clone().filter(|_| from_client),
            standing: Some(&self.standing),
            baggage_header: self.baggage.as_deref(),
            client_address: self.client,
            ..Arrival::default()
        };
        let held = true;
        self.duplex
            .line(direction, &Line { scanned, held }, &arrival)
    }
}
