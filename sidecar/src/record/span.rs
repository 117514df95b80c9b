//! Takes the record of a finished call. Gives its span, or with `--span-pair` the SERVER and the CLIENT span.
//! A span is a view of its record: whoever writes it asks for one part after the other, and nothing is built in between.
//! Never holds a message of a peer: an error's text may be a secret, so the status has no description.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use opentelemetry::trace::TraceState;

use super::{CallContext, CallRecord, HopInfo, ParentSource, Side, Target, TraceContext};
use crate::record::names;

/// A peer may send any text; what a store indexes is kept short.
const MAX_NAME_BYTES: usize = 256;
const MAX_METHOD_BYTES: usize = 128;
/// Keeps an export of many spans below the 4 MiB that collectors take by default.
const MAX_TEXT_BYTES: usize = 4096;

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    Text(&'a str),
}

/// One span of a call.
#[derive(Debug)]
pub struct Span<'a> {
    record: &'a CallRecord,
    place: Place,
    method: &'a str,
    error_type: Option<Cow<'static, str>>,
}

/// Where one span stands in the trace, and for which peer.
#[derive(Debug)]
struct Place {
    side: Side,
    span_id: u64,
    parent: Option<TraceContext>,
    parent_is_remote: bool,
    link: Option<TraceContext>,
}

impl Place {
    fn of_call(context: &CallContext, side: Side) -> Self {
        Self {
            side,
            span_id: context.context.span_id,
            parent: context.parent,
            // A request of the server inside a call has one of our own spans above it.
            parent_is_remote: context.parent.is_some()
                && context.parent_source != ParentSource::Call,
            link: context.link,
        }
    }

    /// The CLIENT span of a pair, below its SERVER span.
    fn inner(context: &CallContext, span_id: u64) -> Self {
        Self {
            side: Side::Client,
            span_id,
            parent: Some(context.context),
            parent_is_remote: false,
            link: None,
        }
    }
}

impl CallRecord {
    /// The spans of the call: one, or two where the hop emits pairs.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        let pair = self.context.pair_span_id.filter(|_| self.hop.span_pair);
        let outer = pair.map_or(self.side, |_| Side::Server);
        let first = Place::of_call(&self.context, outer);
        let second = pair.map(|id| Place::inner(&self.context, id));
        let places = std::iter::once(first).chain(second);
        places.map(|place| Span::new(self, place))
    }

    /// How many that are.
    #[must_use]
    pub fn span_count(&self) -> u64 {
        1 + u64::from(self.hop.span_pair && self.context.pair_span_id.is_some())
    }
}

impl<'a> Span<'a> {
    fn new(record: &'a CallRecord, place: Place) -> Self {
        Self {
            error_type: record.outcome.error_type(place.side),
            method: method_text(&record.method),
            record,
            place,
        }
    }

    /// Trace, span and flags.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        TraceContext {
            span_id: self.place.span_id,
            ..self.record.context.context
        }
    }

    /// A `tracestate` that cannot be parsed is left out, as the W3C rules say.
    #[must_use]
    pub fn trace_state(&self) -> String {
        let text = &self.record.context.tracestate;
        if text.is_empty() {
            return String::new();
        }
        let state = text.parse::<TraceState>();
        state.map(|state| state.header()).unwrap_or_default()
    }

    #[must_use]
    pub fn parent(&self) -> Option<TraceContext> {
        self.place.parent
    }

    #[must_use]
    pub fn parent_is_remote(&self) -> bool {
        self.place.parent_is_remote
    }

    #[must_use]
    pub fn link(&self) -> Option<TraceContext> {
        self.place.link
    }

    #[must_use]
    pub fn side(&self) -> Side {
        self.place.side
    }

    /// `{method}`, and the target behind a space where it is of low cardinality.
    #[must_use]
    pub fn name(&self) -> (&'a str, Option<&'a str>) {
        let target = match &self.record.target {
            Some(Target::Tool(target) | Target::Prompt(target)) => {
                Some(cut(target, MAX_NAME_BYTES))
            }
            Some(Target::Resource(_)) | None => None,
        };
        (self.method, target)
    }

    /// Start and end.
    #[must_use]
    pub fn times(&self) -> (SystemTime, SystemTime) {
        let started = self.record.started_at;
        (started, started + self.record.duration)
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.error_type.is_some()
    }

    /// Hands over every attribute, always in this order.
    pub fn attributes(&self, put: &mut impl FnMut(&'static str, Value<'_>)) {
        let record = self.record;
        let mut out = Attributes(put);
        if self.place.side == record.side {
            out.put(names::CALL, Value::Bool(true));
        }
        out.text(names::TENANT_ID, &record.tenant.name);
        out.text(names::TENANT_SOURCE, record.tenant.source.as_str());
        let parent_source = record.context.parent_source.as_str();
        out.text(names::PARENT_SOURCE, parent_source);
        out.text(names::OUTCOME, record.outcome.as_str());
        out.request(self.method, record);
        if let Some(code) = record.outcome.rpc_status_code() {
            out.text(names::RPC_RESPONSE_STATUS_CODE, &code.to_string());
        }
        out.some(names::ERROR_TYPE, self.error_type.as_deref());
        let version = record.protocol_version.as_deref();
        out.some(names::MCP_PROTOCOL_VERSION, version);
        if let Some(session) = record.session {
            out.text(names::MCP_SESSION_ID, &format!("{session:016x}"));
        }
        self.peers(&mut out);
        out.count(names::REQUEST_BYTES, record.request_bytes);
        out.count(names::RESPONSE_BYTES, record.response_bytes);
        let reason = record.not_injected.map(|reason| reason.as_str());
        out.some(names::NOT_INJECTED, reason);
    }

    fn peers<F: FnMut(&'static str, Value<'_>)>(&self, out: &mut Attributes<'_, F>) {
        let record = self.record;
        out.network(&record.hop, record.network_protocol_version);
        match (self.place.side, record.client_address) {
            // A request of the server goes the other way: the hop's address is not its receiver.
            (Side::Client, _) if record.side == record.hop.side => out.server(&record.hop),
            (Side::Server, Some(peer)) => out.client(peer),
            _ => {}
        }
        if let Some(peer) = &record.client {
            out.text(names::CLIENT_NAME, &peer.name);
            out.text(names::CLIENT_VERSION, &peer.version);
        }
        if let Some(peer) = &record.server {
            out.text(names::SERVER_NAME, &peer.name);
            out.text(names::SERVER_VERSION, &peer.version);
        }
    }
}

/// Methods the protocol knows are static text; others are the peer's, so they are kept short.
fn method_text(method: &str) -> &str {
    names::known_method(method).unwrap_or_else(|| cut(method, MAX_METHOD_BYTES))
}

pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// As `Display` writes it. The older addresses are most of them, and a formatter costs ten times as much.
fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let first = digits.iter().position(|digit| *digit > 0).unwrap_or(2);
        text.extend(
            digits
                .iter()
                .skip(first)
                .map(|digit| char::from(b'0' + digit)),
        );
    }
    text
}

/// Where attributes go; each method is one kind of value.
struct Attributes<'a, F>(&'a mut F);

impl<F: FnMut(&'static str, Value<'_>)> Attributes<'_, F> {
    fn put(&mut self, key: &'static str, value: Value<'_>) {
        (self.0)(key, value);
    }

    fn text(&mut self, key: &'static str, text: &str) {
        self.put(key, Value::Text(text));
    }

    fn some(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn cut(&mut self, key: &'static str, text: &str) {
        self.text(key, cut(text, MAX_TEXT_BYTES));
    }

    fn count(&mut self, key: &'static str, count: u64) {
        self.put(key, Value::Int(i64::try_from(count).unwrap_or(i64::MAX)));
    }

    fn request(&mut self, method: &str, record: &CallRecord) {
        if method == names::TOOLS_CALL {
            self.text(names::GEN_AI_OPERATION_NAME, names::EXECUTE_TOOL);
        }
        self.text(names::MCP_METHOD_NAME, method);
        match &record.target {
            Some(Target::Tool(name)) => self.cut(names::GEN_AI_TOOL_NAME, name),
            Some(Target::Prompt(name)) => self.cut(names::GEN_AI_PROMPT_NAME, name),
            Some(Target::Resource(uri)) => self.cut(names::MCP_RESOURCE_URI, uri),
            None => {}
        }
        if !record.request_id.is_empty() {
            self.cut(names::JSONRPC_REQUEST_ID, &record.request_id);
        }
    }

    fn network(&mut self, hop: &HopInfo, version: Option<&'static str>) {
        self.text(names::NETWORK_TRANSPORT, hop.network_transport);
        self.some(names::NETWORK_PROTOCOL_NAME, hop.network_protocol_name);
        self.some(names::NETWORK_PROTOCOL_VERSION, version);
    }

    fn server(&mut self, hop: &HopInfo) {
        self.some(names::SERVER_ADDRESS, hop.server_address.as_deref());
        if let Some(port) = hop.server_port {
            self.put(names::SERVER_PORT, Value::Int(port.into()));
        }
    }

    fn client(&mut self, peer: SocketAddr) {
        self.text(names::CLIENT_ADDRESS, &address_text(peer.ip()));
        // One that a proxy named has no port.
        if peer.port() != 0 {
            self.put(names::CLIENT_PORT, Value::Int(peer.port().into()));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
