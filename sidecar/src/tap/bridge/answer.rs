//! Takes what the bridge decided. Gives the HTTP answer for it.
//! Never decides anything itself: each status stands in one function here.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::events::EventBody;
use crate::frame::text::escape_into;
use crate::tap::http::body::ResponseBody;
use crate::tap::http::headers::SESSION;

pub(super) type Answer = Response<ResponseBody>;

/// Asks proxies not to hold events back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A server's word that a request cannot be served, as a JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: i64,
    pub message: String,
    /// The raw id of the request; none where no single request can be named.
    pub id: Option<Bytes>,
}

/// What SDK servers use where no code is defined.
pub(super) const SERVER_ERROR: i64 = -32000;
pub(super) const INVALID_REQUEST: i64 = -32600;
pub(super) const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_PARAMS: i64 = -32602;
pub(super) const INTERNAL_ERROR: i64 = -32603;
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const HEADER_MISMATCH: i64 = -32020;
pub(super) const MISSING_CAPABILITY: i64 = -32021;
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

impl Refusal {
    pub fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            id: None,
        }
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, SERVER_ERROR, message)
    }

    pub fn answer(self) -> Answer {
        let mut body = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
        body.extend_from_slice(self.id.as_deref().unwrap_or(b"null"));
        body.extend_from_slice(
            format!(",\"error\":{{\"code\":{},\"message\":\"", self.code).as_bytes(),
        );
        escape_into(&mut body, &self.message);
        body.extend_from_slice(b"\"}}");
        json(self.status, body.into())
    }
}

pub(super) fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(ResponseBody::Text(Some(body)));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// A stream of events, with the id of the session that it begins.
pub(super) fn events(body: EventBody, session: Option<&str>) -> Answer {
    let mut answer = Response::new(ResponseBody::Events(Box::new(body)));
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (ACCEL_BUFFERING, "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(id) = session.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(SESSION, id);
    }
    answer
}

/// Nothing but a status.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(ResponseBody::Text(None));
    *answer.status_mut() = status;
    answer
}

/// A refusal before any message was read: no word of why, and the connection closes.
pub(super) fn forbidden() -> Answer {
    let mut answer = empty(StatusCode::FORBIDDEN);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
    let allowed = HeaderValue::from_static(allowed);
    answer.headers_mut().insert(header::ALLOW, allowed);
    answer
}

/// A failure of ours or of the command: always 5xx, because clients read an era out of a 4xx.
pub(super) fn failed(status: StatusCode, text: &str) -> Answer {
    let body = Bytes::from(format!("toolspan: {text}\n"));
    let mut answer = Response::new(ResponseBody::Text(Some(body)));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}
