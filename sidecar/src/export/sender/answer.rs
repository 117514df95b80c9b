//! Takes the answer of a collector. Gives the spans it refused, or why it took none and whether to try again.
//! The rules are those of the OTLP specification for gRPC and for HTTP.
//! Never quotes the answer: its text may repeat a secret of the request.

use std::time::Duration;

use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::PREFIX;
use super::backoff::Again;

/// Longer than that is not waited on the word of a peer.
const MOST_SECONDS: u64 = 600;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub reason: String,
    pub again: Again,
}

impl Refusal {
    /// Nothing, or half an answer, came back.
    pub(super) fn unreachable() -> Self {
        Self {
            reason: "the collector cannot be reached".to_owned(),
            again: Again::Soon,
        }
    }
}

pub(super) fn http_answer(head: &Parts, body: &[u8]) -> Result<u64, Refusal> {
    if head.status.is_success() {
        return Ok(rejected(body));
    }
    let again = match head.status.as_u16() {
        429 | 503 => retry_after(&head.headers).map_or(Again::Soon, Again::After),
        502 | 504 => Again::Soon,
        _ => Again::Never,
    };
    Err(Refusal {
        reason: format!(
            "the collector answered with HTTP status {}",
            head.status.as_u16()
        ),
        again,
    })
}

/// Seconds. A date would need the clock of the other machine to be right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(MOST_SECONDS)))
}

pub(super) fn grpc_answer(head: &Parts, trailers: &HeaderMap, body: &[u8]) -> Result<u64, Refusal> {
    let status = |headers: &HeaderMap| headers.get("grpc-status").cloned();
    // An answer without a body has its status in the head.
    let Some(status) = status(trailers).or_else(|| status(&head.headers)) else {
        return Err(without_status(head.status));
    };
    let code: u32 = status
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    if code == 0 {
        return Ok(rejected(body.get(PREFIX..).unwrap_or_default()));
    }
    let details = [trailers, &head.headers].map(|headers| headers.get("grpc-status-details-bin"));
    let asked = details
        .into_iter()
        .flatten()
        .find_map(|details| retry_delay(&base64(details.as_bytes())?));
    let again = match (code, asked) {
        // Exhausted resources come back only where the collector says when.
        (8, None) => Again::Never,
        (8, Some(asked)) => Again::After(asked),
        (14, Some(asked)) if !asked.is_zero() => Again::After(asked),
        (1 | 4 | 10 | 11 | 14 | 15, _) => Again::Soon,
        _ => Again::Never,
    };
    Err(Refusal {
        reason: format!("the collector answered with gRPC status {code}"),
        again,
    })
}

/// What is no gRPC answer came from something in front of the collector.
fn without_status(status: StatusCode) -> Refusal {
    let again = match status.as_u16() {
        429 | 502 | 503 | 504 => Again::Soon,
        _ => Again::Never,
    };
    Refusal {
        reason: format!("the answer is not gRPC, HTTP status {}", status.as_u16()),
        again,
    }
}

/// `ExportTraceServiceResponse`: the partial success (1) and its count of refused spans (1).
fn rejected(answer: &[u8]) -> u64 {
    let partial = member(answer, 1).unwrap_or_default();
    number(partial, 1).map_or(0, |count| u64::try_from(count.cast_signed()).unwrap_or(0))
}

/// `google.rpc.Status`: details (3), of which `RetryInfo` holds a `Duration` (1).
fn retry_delay(status: &[u8]) -> Option<Duration> {
    let infos = Fields(status).filter_map(|field| field.bytes(3));
    let info = infos
        .filter(|any| member(any, 1).is_some_and(|url| url.ends_with(b"google.rpc.RetryInfo")))
        .find_map(|any| member(any, 2))?;
    let delay = member(info, 1)?;
    let seconds = number(delay, 1).unwrap_or(0).min(MOST_SECONDS);
    let nanos = u32::try_from(number(delay, 2).unwrap_or(0)).ok()?;
    Some(Duration::new(seconds, nanos.min(999_999_999)))
}

fn member(message: &[u8], wanted: u64) -> Option<&[u8]> {
    Fields(message).find_map(|field| field.bytes(wanted))
}

fn number(message: &[u8], wanted: u64) -> Option<u64> {
    Fields(message).find_map(|field| match field {
        Field::Number(key, value) if key == wanted << 3 => Some(value),
        _ => None,
    })
}

/// The fields of a message; whatever is malformed ends it.
struct Fields<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self, wanted: u64) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(key, value) if *key == wanted << 3 | 2 => Some(value),
            _ => None,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let key = self.varint()?;
        let length = match key & 7 {
            0 => return Some(Field::Number(key, self.varint()?)),
            1 => 8,
            2 => usize::try_from(self.varint()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Field::Bytes(key, value))
    }
}

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// The bytes of a binary header; padding may be there or not.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.iter().filter(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
