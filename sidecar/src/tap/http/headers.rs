//! Takes the headers of one side. Gives what goes on to the other, and what a call reads from them.
//! Never drops a header that is end to end.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::convert;
use crate::record::NotInjected;
use crate::trace::context::format_traceparent;
use crate::trace::{Carrier, Decision};

pub(in crate::tap) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(in crate::tap) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(in crate::tap) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
pub(in crate::tap) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(in crate::tap) const PROTOCOL_VERSION: HeaderName =
    HeaderName::from_static("mcp-protocol-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
pub(super) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that mean one connection only, whatever `Connection` names besides.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
];

/// Removes the fields that mean one connection only (RFC 9110, 7.6.1); that trailers are taken is said again.
/// A length beside a transfer coding means nothing (RFC 9112, 6.3) and goes with it.
pub(in crate::tap) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // One look at each is less than one look-up of each: most messages have none.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let trailers = convert::takes_trailers(headers);
    let named = list(headers, &header::CONNECTION).unwrap_or_default();
    for name in named.split(',').map(str::trim) {
        if !name.eq_ignore_ascii_case("close") && !name.eq_ignore_ascii_case("keep-alive") {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers {
        convert::take_trailers(headers);
    }
}

/// The trace context in the headers. Several lines of `tracestate` are one list (W3C Trace Context 3.3.1.1);
/// several of `traceparent` are none.
pub(in crate::tap) fn carrier(headers: &HeaderMap) -> Option<Carrier> {
    let traceparent = only(headers, &TRACEPARENT)?.to_str().ok()?;
    Carrier::read(Some(traceparent), list(headers, &TRACESTATE).as_deref())
}

/// How long the server keeps the connection, where it says so and does.
pub(super) fn kept_alive(headers: &HeaderMap) -> Option<HeaderValue> {
    let kept = headers.get(KEEP_ALIVE)?;
    (!says_close(headers)).then(|| kept.clone())
}

/// Whether the connection ends behind this message.
pub(in crate::tap) fn says_close(headers: &HeaderMap) -> bool {
    list(headers, &header::CONNECTION).is_some_and(|all| {
        all.split(',')
            .any(|one| one.trim().eq_ignore_ascii_case("close"))
    })
}

/// Whether a WebSocket may come of this request. The guard of the connection reads the same in the bytes.
pub(super) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|line| {
        let mut protocols = line.as_bytes().split(|byte| *byte == b',');
        protocols.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    })
}

/// The value of a header that must not be repeated.
pub(in crate::tap) fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// All lines of a header that is a list.
pub(in crate::tap) fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut all = lines.next()?.to_owned();
    for line in lines {
        all.push(',');
        all.push_str(line);
    }
    Some(all)
}

/// Puts the outgoing context into the headers, for servers that read only them.
pub(in crate::tap) fn inject(headers: &mut HeaderMap, decision: &Decision) {
    let traceparent = format_traceparent(&decision.outgoing);
    if let Ok(value) = HeaderValue::from_bytes(&traceparent) {
        headers.insert(TRACEPARENT, value);
    }
    // A state belongs to the parent it came with; that of another carrier goes.
    match HeaderValue::from_str(&decision.call.tracestate) {
        Ok(state) if !state.is_empty() => headers.insert(TRACESTATE, state),
        _ => headers.remove(TRACESTATE),
    };
}

/// Whether the headers forbid an edit of the body.
pub(in crate::tap) fn untouchable(headers: &HeaderMap) -> Option<NotInjected> {
    if encoded(headers) {
        Some(NotInjected::ContentEncoding)
    } else if headers.contains_key(CONTENT_DIGEST) {
        Some(NotInjected::ContentDigest)
    } else if headers.contains_key(SIGNATURE_INPUT) {
        Some(NotInjected::SignatureInput)
    } else {
        None
    }
}

/// The body is compressed, so we cannot read it.
pub(in crate::tap) fn encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// What a body holds, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tap) enum Media {
    Json,
    EventStream,
    Other,
}

pub(in crate::tap) fn media(headers: &HeaderMap) -> Media {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Media::Other;
    };
    let essence = value
        .as_bytes()
        .split(|&b| b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        Media::Json
    } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
        Media::EventStream
    } else {
        Media::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_hop_by_hop_fields_go() {
        let mut headers = map(&[
            ("connection", "close, x-mine"),
            ("connection", "x-ours"),
            ("x-mine", "1"),
            ("x-ours", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("x-other", "2"),
            ("authorization", "Bearer t"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(
            headers,
            map(&[
                ("te", "trailers"),
                ("connection", "te"),
                ("x-other", "2"),
                ("authorization", "Bearer t"),
            ])
        );
    }

    #[test]
    fn media_types_are_known_with_parameters() {
        assert_eq!(
            media(&map(&[("content-type", "Application/JSON; charset=utf-8")])),
            Media::Json
        );
        assert_eq!(
            media(&map(&[("content-type", "text/event-stream")])),
            Media::EventStream
        );
        assert_eq!(
            media(&map(&[("content-type", "application/jsonl")])),
            Media::Other
        );
        assert_eq!(media(&map(&[])), Media::Other);
    }

    #[test]
    fn a_body_that_is_signed_or_packed_is_not_touched() {
        assert_eq!(
            untouchable(&map(&[("content-encoding", "gzip")])),
            Some(NotInjected::ContentEncoding)
        );
        assert_eq!(
            untouchable(&map(&[("content-digest", "sha-256=:x:")])),
            Some(NotInjected::ContentDigest)
        );
        assert_eq!(
            untouchable(&map(&[("signature-input", "s=()")])),
            Some(NotInjected::SignatureInput)
        );
        assert_eq!(untouchable(&map(&[("content-encoding", "identity")])), None);
    }

    #[test]
    fn lists_are_joined_and_single_values_must_be_single() {
        let mut headers = map(&[(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )]);
        headers.append(TRACESTATE, "a=1".parse().unwrap());
        headers.append(TRACESTATE, "b=2".parse().unwrap());
        assert_eq!(&*carrier(&headers).unwrap().tracestate, "a=1,b=2");
        headers.append(TRACEPARENT, "again".parse().unwrap());
        assert_eq!(carrier(&headers), None);
    }
}
