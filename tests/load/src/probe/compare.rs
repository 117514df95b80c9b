//! Takes the bytes a client sent and those the server saw. Gives what they have in common besides the context.
//! Never calls a changed id or tool name a change: hops number calls and name tools of their own.

use anyhow::{Context, Result};
use serde_json::Value;
use serde_json::value::RawValue;

use super::text;

/// A `tools/call` as the server received it.
pub struct Call {
    bytes: String,
    value: Value,
}

/// What of a message was left as it was, the trace context aside.
pub struct Kept {
    pub order: bool,
    pub bytes: bool,
}

impl Call {
    /// The recorded call whose argument `mark` is this.
    pub fn find(record: &[u8], mark: &str) -> Result<Self> {
        record
            .split(|byte| *byte == 0)
            .filter_map(|message| {
                let bytes = String::from_utf8(message.to_vec()).ok()?;
                let value: Value = serde_json::from_str(&bytes).ok()?;
                let marked = text(value.pointer("/params/arguments/mark")) == Some(mark);
                marked.then_some(Self { bytes, value })
            })
            .next_back()
            .with_context(|| format!("the server saw no call with the mark `{mark}`"))
    }

    pub fn meta(&self, key: &str) -> Option<&Value> {
        self.value.pointer("/params/_meta")?.get(key)
    }

    /// The trace id of a well-formed `traceparent` in `_meta`.
    pub fn trace_id(&self) -> Option<String> {
        let context = text(self.meta("traceparent"))?;
        let parts: Vec<&str> = context.split('-').collect();
        let [_, trace, span, _] = parts.as_slice() else {
            return None;
        };
        let sound = trace.len() == 32 && span.len() == 16;
        sound.then(|| (*trace).to_owned())
    }

    pub fn compare(&self, sent: &str, prefix: &str) -> Result<Kept> {
        let sent = sent.replace(&format!("\"{prefix}echo\""), "\"echo\"");
        Ok(Kept {
            order: keys(&sent) == keys(&self.bytes),
            bytes: settled(&sent)? == settled(&self.bytes)?,
        })
    }
}

/// The message with a fixed context and a fixed id.
fn settled(message: &str) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct WithId<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    let value: Value = serde_json::from_str(message)?;
    let id: WithId = serde_json::from_str(message)?;
    let mut settled = message.replacen(&format!("\"id\":{}", id.id.get()), "\"id\":0", 1);
    for key in ["traceparent", "tracestate"] {
        if let Some(context) = text(value.pointer(&format!("/params/_meta/{key}"))) {
            settled = settled.replacen(context, "context", 1);
        }
    }
    Ok(settled)
}

/// Every key of every object in the order of the text, but for those of the context.
fn keys(message: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut rest = message;
    while let Some((_, after)) = rest.split_once('"') {
        let length = string_length(after);
        let (string, behind) = after.split_at_checked(length).unwrap_or((after, ""));
        rest = behind.get(1..).unwrap_or_default();
        let is_key = rest.trim_start().starts_with(':');
        if is_key && !matches!(string, "traceparent" | "tracestate" | "baggage") {
            keys.push(string);
        }
    }
    keys
}

/// Bytes of a JSON string up to its closing quote.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    text.bytes()
        .position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = r#"{"id":1,"params":{"name":"echo","arguments":{"mark":"m","q":"a\":b"},"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}"#;

    fn kept(received: &str) -> (bool, bool) {
        let call = Call::find(received.as_bytes(), "m").unwrap();
        let kept = call.compare(SENT, "").unwrap();
        (kept.order, kept.bytes)
    }

    #[test]
    fn another_span_and_another_id_are_no_change() {
        let received = SENT
            .replace("b7ad6b7169203331", "00f067aa0ba902b7")
            .replace("\"id\":1", "\"id\":\"x-9\"");
        assert_eq!(kept(&received), (true, true));
    }

    #[test]
    fn other_spacing_changes_bytes_but_not_the_order() {
        assert_eq!(kept(&SENT.replace(":{", ": {")), (true, false));
    }

    #[test]
    fn sorted_keys_are_another_order() {
        let received = r#"{"params":{"arguments":{"mark":"m","q":"a\":b"},"name":"echo"},"id":1}"#;
        assert_eq!(kept(received), (false, false));
    }
}
