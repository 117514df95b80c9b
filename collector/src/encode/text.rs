//! Takes attribute values.
//! Gives their text, in the form of the OpenTelemetry Collector: JSON for arrays and lists, base64 for bytes.
//! Never fails: what JSON cannot say (NaN) becomes a JSON string.

use std::fmt::Write as _;

use crate::otlp::Value;

/// Appends the text of `value` to `out`.
pub(super) fn write(out: &mut String, value: Value<'_>) {
    match value {
        Value::Empty => {}
        Value::Text(text) => out.push_str(text),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Double(value) => double(out, value),
        Value::Bytes(bytes) => base64(out, bytes),
        Value::Array(_) | Value::List(_) => json(out, value),
    }
}

/// Whether a column of plain text can hold the value without loss.
pub(super) fn is_scalar(value: Value<'_>) -> bool {
    matches!(
        value,
        Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Double(_)
    )
}

fn json(out: &mut String, value: Value<'_>) {
    match value {
        Value::Empty => out.push_str("null"),
        Value::Text(text) => quote(out, text),
        Value::Double(number) if !number.is_finite() => {
            let _ = write!(out, "\"{number}\"");
        }
        Value::Bytes(bytes) => {
            out.push('"');
            base64(out, bytes);
            out.push('"');
        }
        Value::Array(_) => {
            out.push('[');
            for (index, item) in value.items().into_iter().enumerate() {
                comma(out, index);
                json(out, item);
            }
            out.push(']');
        }
        Value::List(_) => object(out, value),
        Value::Bool(_) | Value::Int(_) => write(out, value),
        Value::Double(number) => double(out, number),
    }
}

/// Keys sorted and unique, the last one of a name winning: what a map in the Collector would give.
fn object(out: &mut String, value: Value<'_>) {
    let mut entries = value.entries();
    entries.reverse();
    entries.sort_by_key(|entry| entry.key);
    entries.dedup_by_key(|entry| entry.key);
    out.push('{');
    for (index, entry) in entries.into_iter().enumerate() {
        comma(out, index);
        quote(out, entry.key);
        out.push(':');
        json(out, entry.value);
    }
    out.push('}');
}

fn comma(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The shortest text that reads back as the same number, with an exponent where digits would only be zeros.
fn double(out: &mut String, value: f64) {
    let size = value.abs();
    let _ = if value.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        write!(out, "{value:e}")
    } else {
        write!(out, "{value}")
    };
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the standard base64 of `bytes`, padded.
pub(super) fn base64(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let mut word = 0u32;
        for index in 0..3 {
            word = word << 8 | u32::from(chunk.get(index).copied().unwrap_or(0));
        }
        for index in 0..4usize {
            let digit = (word >> (18 - 6 * index)) & 63;
            let letter = BASE64.get(usize::try_from(digit).unwrap_or(0)).copied();
            let padded = index > chunk.len();
            out.push(if padded {
                '='
            } else {
                char::from(letter.unwrap_or(b'='))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64() {
        let encoded = |bytes: &[u8]| {
            let mut out = String::new();
            write(&mut out, Value::Bytes(bytes));
            out
        };
        assert_eq!(encoded(b""), "");
        assert_eq!(encoded(b"f"), "Zg==");
        assert_eq!(encoded(b"fo"), "Zm8=");
        assert_eq!(encoded(b"foo"), "Zm9v");
        assert_eq!(encoded(&[0xff, 0xef, 0xfe]), "/+/+");
    }

    #[test]
    fn doubles_are_short() {
        let text = |value: f64| {
            let mut out = String::new();
            write(&mut out, Value::Double(value));
            out
        };
        assert_eq!(text(1.0), "1");
        assert_eq!(text(-0.25), "-0.25");
        assert_eq!(text(1e300), "1e300");
        assert_eq!(text(f64::NAN), "NaN");
    }
}
