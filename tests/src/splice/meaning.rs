//! Takes both texts. Gives how many requests carry a new context, comparing what a parser makes of them.
//! Never looks at the bytes: that is the other judge's part.

use serde_json::{Map, Value};

use super::is_traceparent;

/// # Errors
/// Where the meaning differs by more than the context.
pub fn compare(sent: &[u8], arrived: &[u8]) -> Result<usize, String> {
    let Ok(before) = serde_json::from_slice::<Value>(sent) else {
        return if sent == arrived {
            Ok(0)
        } else {
            Err("what is no JSON was changed".to_owned())
        };
    };
    let after: Value =
        serde_json::from_slice(arrived).map_err(|error| format!("no JSON any more: {error}"))?;
    match (before, after) {
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .into_iter()
            .zip(after)
            .try_fold(0, |sum, (b, a)| Ok(sum + usize::from(message(b, a)?))),
        (before, after) => message(before, after).map(usize::from),
    }
}

/// Requests in a text that can carry a context.
#[must_use]
pub fn carriers(sent: &[u8]) -> usize {
    match serde_json::from_slice(sent) {
        Ok(Value::Array(elements)) => elements.iter().filter(|value| can_carry(value)).count(),
        Ok(value) => usize::from(can_carry(&value)),
        Err(_) => 0,
    }
}

fn can_carry(message: &Value) -> bool {
    let Value::Object(members) = message else {
        return false;
    };
    let is_request = matches!(members.get("id"), Some(Value::String(_) | Value::Number(_)))
        && matches!(members.get("method"), Some(Value::String(_)))
        && !members.contains_key("result")
        && !members.contains_key("error");
    is_request
        && match members.get("params") {
            None => true,
            Some(Value::Object(params)) => {
                matches!(params.get("_meta"), None | Some(Value::Object(_)))
            }
            Some(_) => false,
        }
}

/// Whether this message received a context.
fn message(mut before: Value, mut after: Value) -> Result<bool, String> {
    if before == after {
        return Ok(false);
    }
    if !can_carry(&before) {
        return Err("a message that cannot carry a context was changed".to_owned());
    }
    let old = strip(&mut before)?;
    let new = strip(&mut after)?.ok_or("the context is gone")?;
    if !new.as_str().is_some_and(is_traceparent) || old.as_ref() == Some(&new) {
        return Err(format!("{new} is no new context"));
    }
    if before != after {
        return Err("more than the context differs".to_owned());
    }
    Ok(true)
}

/// Takes the context out, and the objects that are empty without it. Gives the `traceparent`.
fn strip(message: &mut Value) -> Result<Option<Value>, String> {
    let members = object(message)?;
    let Some(params) = members.get_mut("params") else {
        return Ok(None);
    };
    let params = object(params)?;
    let mut traceparent = None;
    if let Some(meta) = params.get_mut("_meta") {
        let meta = object(meta)?;
        traceparent = meta.remove("traceparent");
        meta.remove("tracestate");
        if meta.is_empty() {
            params.remove("_meta");
        }
    }
    if params.is_empty() {
        members.remove("params");
    }
    Ok(traceparent)
}

fn object(value: &mut Value) -> Result<&mut Map<String, Value>, String> {
    value
        .as_object_mut()
        .ok_or_else(|| "an object became something else".to_owned())
}
