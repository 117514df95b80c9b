//! Takes a client's wish to go on as WebSocket. Gives it a child of its own, and the connection between the two.
//! Never lets one outlive the other, and never changes a message but for its context and line ends.
//!
//! ```text
//! GET            handshake.rs   what was asked for, and what is agreed on
//! messages       messages.rs    lines to and from the child
//! calls          observer.rs    what the messages mean, by the handshake
//! frames         frames.rs      the connection after HTTP: pings, closes, the pace of both sides
//! ```

mod frames;
mod handshake;
mod messages;
mod observer;

use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::Bridge;
use super::answer::{Answer, Refusal, empty};
use super::budget::Most;
use crate::tap::http::ClientInfo;
use crate::tap::http::body::ResponseBody;

use frames::{Bounds, Out};
use handshake::Agreed;
pub(super) use handshake::wishes;
pub(super) use messages::Connection;

const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// A GET where only a WebSocket is served.
pub(super) async fn get(bridge: &Arc<Bridge>, client: &ClientInfo, parts: &Parts) -> Answer {
    if parts.version != Version::HTTP_11 {
        return empty(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    }
    let agreed = match handshake::agree(&parts.headers) {
        Ok(agreed) => agreed,
        Err(handshake::Refused::Upgrade) => return upgrade_required(),
        Err(refused) => return Refusal::bad(refused.to_string()).answer(),
    };
    let (out, waiting) = mpsc::channel(1);
    let headers = &parts.headers;
    let make = |child, number| Connection::new(bridge, client, headers, child, number, out.clone());
    let (connection, held) = match bridge.connect(make).await {
        Ok(connected) => connected,
        Err(error) => return error.answer(),
    };
    let rules = bridge.rules();
    let held = Held {
        connection,
        bounds: Bounds {
            message: rules.settings.max_message_bytes,
            held: Most::of(&rules.settings),
        },
        _over: held,
    };
    client.onward.set(move |stream| held.run(stream, waiting));
    switch(agreed)
}

fn switch(agreed: Agreed) -> Answer {
    let mut answer = Response::new(ResponseBody::Text(None));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, agreed.accept);
    if let Some(protocol) = agreed.protocol {
        let protocol = HeaderValue::from_static(protocol);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer
}

fn upgrade_required() -> Answer {
    let mut answer = empty(StatusCode::UPGRADE_REQUIRED);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(VERSION, HeaderValue::from_static("13"));
    answer
}

/// Whoever has it has the connection: when it is dropped, before or after the first frame, the child ends.
struct Held {
    connection: Arc<Connection>,
    bounds: Bounds,
    /// Its end says that nothing is written any more.
    _over: oneshot::Sender<()>,
}

impl Held {
    async fn run(self, stream: impl AsyncRead + AsyncWrite, waiting: mpsc::Receiver<Out>) {
        frames::run(&self.connection, stream, waiting, self.bounds).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.leave();
        self.connection.forget();
    }
}
