//! Takes the headers of a client that wishes a WebSocket. Gives what is agreed on (RFC 6455, 4.2).
//! Never agrees on an extension: messages go to a pipe as they are (no I/O).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ring::digest;

use crate::tap::http::headers;

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
/// What a key is hashed with.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocol of MCP.
const MCP: &str = "mcp";

/// What the answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub accept: HeaderValue,
    pub protocol: Option<&'static str>,
}

/// Why there is no WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("only WebSocket, version 13, is served here")]
    Upgrade,
    #[error("Bad Request: Connection does not say Upgrade")]
    Connection,
    #[error("Bad Request: Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    #[error("Bad Request: the only subprotocol is mcp")]
    Protocol,
}

/// Whether a request wishes a WebSocket.
pub(in crate::tap::bridge) fn wishes(headers: &HeaderMap) -> bool {
    says(headers, &header::UPGRADE, "websocket")
}

pub(super) fn agree(headers: &HeaderMap) -> Result<Agreed, Refused> {
    let version = headers::only(headers, &header::SEC_WEBSOCKET_VERSION);
    if !wishes(headers) || version.is_none_or(|version| version != "13") {
        return Err(Refused::Upgrade);
    }
    if !says(headers, &header::CONNECTION, "upgrade") {
        return Err(Refused::Connection);
    }
    let key = headers::only(headers, &KEY).map(HeaderValue::as_bytes);
    let accept = key.and_then(accept).ok_or(Refused::Key)?;
    let offered = headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    if offered && !items(headers, &header::SEC_WEBSOCKET_PROTOCOL, |item| item == MCP) {
        return Err(Refused::Protocol);
    }
    Ok(Agreed {
        accept,
        protocol: offered.then_some(MCP),
    })
}

/// The proof that the key was read; none when it is no key.
fn accept(key: &[u8]) -> Option<HeaderValue> {
    let decoded = STANDARD.decode(key).ok()?;
    if decoded.len() != 16 {
        return None;
    }
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    HeaderValue::try_from(STANDARD.encode(hash.finish())).ok()
}

fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    items(headers, name, |item| item.eq_ignore_ascii_case(word))
}

/// Whether an item of a header that is a list is such.
fn items(headers: &HeaderMap, name: &HeaderName, is: impl Fn(&str) -> bool) -> bool {
    let list = headers::list(headers, name).unwrap_or_default();
    list.split(',').any(|item| is(item.trim()))
}

#[cfg(test)]
mod tests;
