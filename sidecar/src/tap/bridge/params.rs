//! Takes what a child says of its tools. Gives whether the `Mcp-Param-*` headers of a call say what its arguments say.
//! Never knows a tool that the child has not listed, and never looks at one without such headers (no I/O).
//!
//! A property of a tool's input with `x-mcp-header: X` is repeated in the header `Mcp-Param-X` (SEP-2243). Who routes
//! by the header must be able to trust it, and a server behind a pipe cannot see it: so it is checked here.

use std::collections::HashMap;

use http::header::{HeaderMap, HeaderName};
use memchr::memmem;
use serde_json::{Map, Value};

use super::check::says;
use crate::tap::http::headers::only;

/// Tools with such headers; a child that lists more is not checked for the rest.
const MAX_TOOLS: usize = 4096;
const KEYWORD: &str = "x-mcp-header";

/// About what may be kept of them; a tool for which there is no room is not checked either.
const MAX_BYTES: usize = 1 << 20;

/// The headers of the tools that have any.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    tools: HashMap<String, Vec<Mirror>>,
    bytes: usize,
}

/// A property and the header that repeats it.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    path: Vec<String>,
    header: HeaderName,
    integer: bool,
}

impl Mirrors {
    /// Reads an answer to `tools/list`. Most have no such header, and are not read at all.
    pub fn learn(&mut self, answer: &[u8]) {
        if self.tools.is_empty() && memmem::find(answer, KEYWORD.as_bytes()).is_none() {
            return;
        }
        let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
            return;
        };
        let tools = answer.pointer("/result/tools").and_then(Value::as_array);
        for tool in tools.into_iter().flatten() {
            let Some(name) = tool.get("name").and_then(Value::as_str) else {
                continue;
            };
            if let Some(older) = self.tools.remove(name) {
                self.bytes -= weight(name, &older);
            }
            let mirrors = tool.get("inputSchema").map(mirrors).unwrap_or_default();
            let bytes = self.bytes + weight(name, &mirrors);
            if !mirrors.is_empty() && self.tools.len() < MAX_TOOLS && bytes <= MAX_BYTES {
                self.tools.insert(name.to_owned(), mirrors);
                self.bytes = bytes;
            }
        }
    }

    /// Compares the headers of a `tools/call` with its arguments; the error names the header.
    pub fn check(&self, headers: &HeaderMap, tool: &str, call: &[u8]) -> Result<(), String> {
        let Some(mirrors) = self.tools.get(tool) else {
            return Ok(());
        };
        let call: Value = serde_json::from_slice(call).unwrap_or_default();
        let arguments = call.pointer("/params/arguments").unwrap_or(&Value::Null);
        for mirror in mirrors {
            let argument = mirror
                .path
                .iter()
                .try_fold(arguments, |value, key| value.get(key));
            let given = headers.contains_key(&mirror.header);
            let right = match argument.and_then(rendered) {
                Some(text) => only(headers, &mirror.header).is_some_and(|header| {
                    says(header, &text)
                        || mirror.integer
                            && header.to_str().ok().and_then(whole).is_some()
                            && header.to_str().ok().and_then(whole) == whole(&text)
                }),
                // What is not there, or is no single value, is not repeated.
                None => !given,
            };
            if !right {
                return Err(format!(
                    "the {} header does not match the arguments",
                    mirror.header
                ));
            }
        }
        Ok(())
    }
}

/// About what a tool takes.
fn weight(name: &str, mirrors: &[Mirror]) -> usize {
    let of = |mirror: &Mirror| {
        let path = mirror
            .path
            .iter()
            .map(|key| key.len() + size_of::<String>());
        size_of::<Mirror>() + mirror.header.as_str().len() + path.sum::<usize>()
    };
    size_of::<String>() + name.len() + mirrors.iter().map(of).sum::<usize>()
}

/// The headers that a schema asks for: of properties that are reached through `properties` alone.
fn mirrors(schema: &Value) -> Vec<Mirror> {
    let properties = |schema: &Value| -> Option<Map<String, Value>> {
        schema.get("properties")?.as_object().cloned()
    };
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), properties(schema).unwrap_or_default())];
    while let Some((above, level)) = open.pop() {
        for (key, property) in level {
            let mut path: Vec<String> = above.clone();
            path.push(key);
            let kind = property.get("type").and_then(Value::as_str);
            let name = property.get(KEYWORD).and_then(Value::as_str);
            let header = name.and_then(|name| format!("mcp-param-{name}").parse().ok());
            if let (Some(header), Some("string" | "integer" | "boolean")) = (header, kind) {
                found.push(Mirror {
                    path: path.clone(),
                    header,
                    integer: kind == Some("integer"),
                });
            }
            if let Some(below) = properties(&property) {
                open.push((path, below));
            }
        }
    }
    found
}

/// A value as a header says it; none for what has no such form.
fn rendered(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number in its shortest form: `42.0` and `42` are the same. None for what is no decimal, or no whole number.
fn whole(text: &str) -> Option<String> {
    let (sign, digits) = match text.trim().strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.trim()),
    };
    let (digits, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let decimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal(digits) || !decimal(fraction) || fraction.bytes().any(|byte| byte != b'0') {
        return None;
    }
    Some(match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}"),
    })
}

#[cfg(test)]
mod tests;
