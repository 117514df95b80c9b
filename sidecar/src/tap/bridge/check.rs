//! Takes the headers of a request and its message. Gives whether the transport allows it, and which era it is of.
//! Never reads what only the server can judge: an unsupported version, an unknown method or tool is its word (no I/O).

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::answer::{
    HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Refusal, SERVER_ERROR,
};
use super::lines::range;
use crate::frame::text::unescape;
use crate::frame::{Message, Scanner, Shape, Slot};
use crate::tap::http::headers::{PROTOCOL_VERSION, list, only};

/// The first revision without sessions.
const MODERN_SINCE: &str = "2026-07-28";
const LEGACY_VERSIONS: [&str; 5] = [
    "2024-10-07",
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
];
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A client of Streamable HTTP must take both kinds of answers.
pub(super) fn accepts_both(headers: &HeaderMap) -> Result<(), Refusal> {
    if accepts(headers, "application", "json") && accepts(headers, "text", "event-stream") {
        return Ok(());
    }
    Err(not_acceptable(
        "Not Acceptable: Client must accept both application/json and text/event-stream",
    ))
}

pub(super) fn accepts_events(headers: &HeaderMap) -> Result<(), Refusal> {
    if accepts(headers, "text", "event-stream") {
        return Ok(());
    }
    accepts_nothing()
}

fn accepts_nothing() -> Result<(), Refusal> {
    Err(not_acceptable(
        "Not Acceptable: Client must accept text/event-stream",
    ))
}

/// A GET for HTTP+SSE, which starts a command. What browsers load for a page takes everything too, but as the last
/// resort; no client of events does.
pub(super) fn wishes_events(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(accepted) = list(headers, &header::ACCEPT) else {
        return Ok(());
    };
    let last_resort = |weight: &str| {
        let weight = weight.split_once('=').map(|(_, weight)| weight.trim());
        weight.is_some_and(|weight| weight.parse().is_ok_and(|weight: f32| weight < 1.0))
    };
    let wished = accepted.split(',').any(|range| {
        let (range, weight) = range.split_once(';').unwrap_or((range, ""));
        let range = range.trim();
        let events = ["text/event-stream", "text/*"];
        events
            .iter()
            .any(|events| range.eq_ignore_ascii_case(events))
            || range == "*/*" && !last_resort(weight)
    });
    if wished { Ok(()) } else { accepts_nothing() }
}

fn not_acceptable(message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_ACCEPTABLE, SERVER_ERROR, message)
}

fn accepts(headers: &HeaderMap, kind: &str, subkind: &str) -> bool {
    let Some(accepted) = list(headers, &header::ACCEPT) else {
        return false;
    };
    accepted.split(',').any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        let Some((one, other)) = range.split_once('/') else {
            return false;
        };
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern.eq_ignore_ascii_case(name);
        fits(one, kind) && fits(other, subkind)
    })
}

/// Whether a POST is of the era without sessions, by what it says of itself.
pub(super) fn is_modern(headers: &HeaderMap, scanner: &Scanner) -> bool {
    names_modern_version(headers)
        || scanner.messages().any(|message| {
            message
                .text(Slot::MetaProtocolVersion)
                .is_some_and(|version| is_modern_version(&version))
                || message.text(Slot::Method).as_deref() == Some("server/discover")
        })
}

pub(super) fn names_modern_version(headers: &HeaderMap) -> bool {
    let version = headers.get(PROTOCOL_VERSION).and_then(|v| v.to_str().ok());
    version.is_some_and(|version| is_modern_version(version.trim()))
}

/// Versions are dates, and dates of this form compare as texts.
fn is_modern_version(version: &str) -> bool {
    let form = version.len() == MODERN_SINCE.len()
        && version
            .bytes()
            .zip(MODERN_SINCE.bytes())
            .all(|(byte, like)| match like {
                b'-' => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
    form && version >= MODERN_SINCE
}

/// A legacy client may leave its version out; one that we do not know is refused.
pub(super) fn legacy_version(headers: &HeaderMap) -> Result<(), Refusal> {
    if !headers.contains_key(PROTOCOL_VERSION) {
        return Ok(());
    }
    let version = only(headers, &PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    if version.is_some_and(|version| LEGACY_VERSIONS.contains(&version.trim())) {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "Bad Request: Unsupported protocol version (supported versions: {})",
        LEGACY_VERSIONS.join(", ")
    )))
}

/// The rules of 2026-07-28 for one request: what its `_meta` must hold, and headers that say the same as the body.
pub(super) fn modern_request(
    headers: &HeaderMap,
    message: &Message<'_>,
    body: &[u8],
) -> Result<(), Refusal> {
    if message.text(Slot::Method).as_deref() == Some("initialize") {
        // A child that serves both eras takes the one it hears of first, for all its callers.
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            METHOD_NOT_FOUND,
            "Method not found: initialize",
        ));
    }
    for (slot, key) in [
        (Slot::MetaProtocolVersion, "protocolVersion"),
        (Slot::MetaClientCapabilities, "clientCapabilities"),
    ] {
        if message.shape(slot) == Shape::Absent {
            return Err(refuse(
                INVALID_PARAMS,
                format!("params._meta is missing io.modelcontextprotocol/{key}"),
            ));
        }
    }
    let mirrored = [
        (PROTOCOL_VERSION, Some(Slot::MetaProtocolVersion)),
        (METHOD, Some(Slot::Method)),
        (NAME, name_slot(message)),
    ];
    for (header, slot) in mirrored {
        let Some(slot) = slot.filter(|slot| message.shape(*slot) == Shape::String) else {
            continue;
        };
        let text = unescape(inside(body, message, slot));
        let given = only(headers, &header);
        if !given.is_some_and(|given| says(given, &text)) {
            return Err(refuse(
                HEADER_MISMATCH,
                format!("the {header} header does not match the body"),
            ));
        }
    }
    Ok(())
}

fn refuse(code: i64, message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, message)
}

/// The field that `Mcp-Name` repeats.
fn name_slot(message: &Message<'_>) -> Option<Slot> {
    match message.text(Slot::Method).as_deref()? {
        "tools/call" | "prompts/get" => Some(Slot::ParamsName),
        "resources/read" => Some(Slot::ParamsUri),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(Slot::ParamsTaskId),
        _ => None,
    }
}

/// The raw text between the quotes of a string field.
fn inside<'a>(body: &'a [u8], message: &Message<'_>, slot: Slot) -> &'a [u8] {
    let at = range(message, slot);
    body.get(at.start + 1..at.end.saturating_sub(1))
        .unwrap_or_default()
}

/// Whether a header says this text: plainly, or as base64 where the text would not survive as a header.
pub(super) fn says(header: &HeaderValue, text: &str) -> bool {
    let header = header.as_bytes().trim_ascii();
    let encoded = header
        .strip_prefix(b"=?base64?")
        .and_then(|rest| rest.strip_suffix(b"?="));
    match encoded {
        Some(encoded) => encoded == base64(text.as_bytes()).as_bytes(),
        None => header == text.as_bytes(),
    }
}

/// RFC 4648, section 4. Comparing what it gives accepts the canonical form only.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| chunk.get(i).copied().map_or(0, u32::from);
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let sextet = (group >> (18 - 6 * i)) & 0x3f;
            let shown = i <= chunk.len();
            let digit = ALPHABET.get(sextet as usize).copied().unwrap_or(b'=');
            out.push(if shown { char::from(digit) } else { '=' });
        }
    }
    out
}

/// What a POST of the newest protocol must be: one request or one notification.
pub(super) fn not_single() -> Refusal {
    refuse(
        INVALID_REQUEST,
        "Invalid Request: the body must be a single JSON-RPC request or notification".to_owned(),
    )
}

#[cfg(test)]
mod tests;
