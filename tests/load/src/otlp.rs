//! Takes a number of spans, or an export's bytes. Gives the bytes, or the number of spans in them.
//! Never decodes more than that: a receiver that keeps nothing must cost next to nothing.

use anyhow::{Context, Result, bail};

/// Spans in an `ExportTraceServiceRequest`: resource spans (1), scope spans (2), spans (2).
pub fn count_spans(export: &[u8]) -> Result<u64> {
    let mut count = 0;
    for resource_spans in members(export, 1)? {
        for scope_spans in members(resource_spans, 2)? {
            count += members(scope_spans, 2)?.len() as u64;
        }
    }
    Ok(count)
}

/// The length-delimited members of a message that have this field number.
fn members(mut message: &[u8], wanted: u64) -> Result<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let length = match key & 7 {
            0 => {
                varint(&mut message)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?)?,
            5 => 4,
            other => bail!("wire type {other} in an export"),
        };
        let (value, rest) = message
            .split_at_checked(length)
            .context("an export ends inside a member")?;
        message = rest;
        if key == wanted << 3 | 2 {
            found.push(value);
        }
    }
    Ok(found)
}

fn varint(message: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message
            .split_first()
            .context("an export ends inside a number")?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a number of an export is too long")
}

/// An export of `count` spans shaped as the sidecar makes them for a `tools/call` over HTTP.
pub fn export(count: usize) -> Vec<u8> {
    export_from(0, count)
}

/// The same, of spans that no export with another `first` has.
pub fn export_from(first: u64, count: usize) -> Vec<u8> {
    let mut scope_spans = bytes_field(1, &bytes_field(1, b"toolspan"));
    for number in 0..count {
        scope_spans.extend(bytes_field(2, &span(first + number as u64)));
    }
    let resource = [
        attribute("service.name", "toolspan"),
        attribute(
            "service.instance.id",
            "0b54cbbc-18c3-4bfa-a1d5-3f3f32c86b6a",
        ),
        attribute("telemetry.sdk.language", "rust"),
        attribute("telemetry.sdk.name", "opentelemetry"),
        attribute("telemetry.sdk.version", "0.33.1"),
    ];
    let resource: Vec<u8> = resource.iter().flat_map(|kv| bytes_field(1, kv)).collect();
    let resource_spans = [bytes_field(1, &resource), bytes_field(2, &scope_spans)].concat();
    bytes_field(1, &resource_spans)
}

fn span(number: u64) -> Vec<u8> {
    const TEXTS: [(&str, &str); 15] = [
        ("mcp.method.name", "tools/call"),
        ("gen_ai.tool.name", "echo"),
        ("gen_ai.operation.name", "execute_tool"),
        ("jsonrpc.request.id", "10000000"),
        ("mcp.protocol.version", "2026-07-28"),
        ("network.transport", "tcp"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("toolspan.client.name", "load"),
        ("toolspan.client.version", "1"),
        ("toolspan.outcome", "ok"),
        ("toolspan.parent.source", "root"),
        ("toolspan.tenant.source", "fixed"),
        ("tenant.id", "bench"),
    ];
    const NOW: u64 = 1_790_000_000_000_000_000;
    let mut span = Vec::with_capacity(1024);
    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let trace = [id.to_be_bytes(), (!id).to_be_bytes()].concat();
    span.extend(bytes_field(1, &trace));
    span.extend(bytes_field(2, &id.to_le_bytes()));
    span.extend(bytes_field(5, b"tools/call echo"));
    span.extend([6 << 3, 2]);
    span.extend(time_field(7, NOW + number * 1_000));
    span.extend(time_field(8, NOW + number * 1_000 + 80_000));
    for (key, value) in TEXTS {
        span.extend(bytes_field(9, &attribute(key, value)));
    }
    span
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    let value = bytes_field(1, value.as_bytes());
    [bytes_field(1, key.as_bytes()), bytes_field(2, &value)].concat()
}

fn bytes_field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = value.len();
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap_or_default());
    field.extend_from_slice(value);
    field
}

fn time_field(number: u8, nanos: u64) -> Vec<u8> {
    let mut field = vec![number << 3 | 1];
    field.extend(nanos.to_le_bytes());
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_it_made() {
        assert_eq!(count_spans(&export(0)).unwrap(), 0);
        assert_eq!(count_spans(&export(1)).unwrap(), 1);
        let two = [export(300), export(212)].concat();
        assert_eq!(count_spans(&two).unwrap(), 512);
    }

    #[test]
    fn says_when_an_export_is_cut_off() {
        let whole = export(2);
        assert!(count_spans(&whole[..whole.len() - 1]).is_err());
    }
}
