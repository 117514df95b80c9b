//! Takes the record of a finished call. Gives its span, or with `--span-pair` the SERVER and the CLIENT span.
//! Texts move from the record into the span; keys and known methods are static.
//! Never holds a message of a peer: an error's text may be a secret, so the status has no description.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{
    CallContext, CallRecord, HopInfo, Implementation, ParentSource, Side, Target, TraceContext,
};
use crate::record::names;

/// Attributes of an ordinary tool call, with room for an error.
const EXPECTED_ATTRIBUTES: usize = 26;
/// A peer may send any text; what a store indexes is kept short.
const MAX_NAME_BYTES: usize = 256;
const MAX_METHOD_BYTES: usize = 128;
/// Keeps an export of many spans below the 4 MiB that collectors take by default.
const MAX_TEXT_BYTES: usize = 4096;

/// Appends the spans of one call: one, or two where the hop emits pairs.
pub fn append(record: CallRecord, scope: &InstrumentationScope, spans: &mut Vec<SpanData>) {
    if let Some(client_id) = record.context.pair_span_id
        && record.hop.span_pair
    {
        let inner = Place {
            side: Side::Client,
            span_id: client_id,
            parent: Some(record.context.context),
            parent_is_remote: false,
            link: None,
        };
        let outer = Place::of_call(&record.context, Side::Server);
        spans.push(build(record.clone(), scope, outer));
        spans.push(build(record, scope, inner));
    } else {
        let place = Place::of_call(&record.context, record.side);
        spans.push(build(record, scope, place));
    }
}

/// Where one span stands in the trace, and for which peer.
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
}

fn build(mut record: CallRecord, scope: &InstrumentationScope, place: Place) -> SpanData {
    let context = span_context(
        record.context.context,
        place.span_id,
        trace_state(&record.context.tracestate),
    );
    let error_type = record.outcome.error_type(place.side);
    let status = if error_type.is_some() {
        Status::error("")
    } else {
        Status::Unset
    };
    let method = method_text(std::mem::take(&mut record.method));
    let name = match &record.target {
        Some(Target::Tool(target) | Target::Prompt(target)) => joined(&method, target),
        Some(Target::Resource(_)) | None => method.clone(),
    };
    let mut links = SpanLinks::default();
    if let Some(link) = place.link {
        let linked = span_context(link, link.span_id, TraceState::NONE);
        links.links.push(Link::with_context(linked));
    }
    SpanData {
        span_context: context,
        parent_span_id: place
            .parent
            .map_or(SpanId::INVALID, |parent| SpanId::from(parent.span_id)),
        parent_span_is_remote: place.parent_is_remote,
        span_kind: kind(place.side),
        name,
        start_time: record.started_at,
        end_time: record.started_at + record.duration,
        attributes: attributes(record, method, error_type, place.side),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status,
        instrumentation_scope: scope.clone(),
    }
}

fn kind(side: Side) -> SpanKind {
    match side {
        Side::Server => SpanKind::Server,
        Side::Client => SpanKind::Client,
    }
}

fn span_context(place: TraceContext, span_id: u64, state: TraceState) -> SpanContext {
    SpanContext::new(
        TraceId::from(place.trace_id),
        SpanId::from(span_id),
        TraceFlags::new(place.flags),
        false,
        state,
    )
}

/// A `tracestate` that cannot be parsed is left out, as the W3C rules say.
fn trace_state(text: &str) -> TraceState {
    if text.is_empty() {
        return TraceState::NONE;
    }
    text.parse().unwrap_or(TraceState::NONE)
}

/// `{method} {target}`, where the target is of low cardinality.
fn joined(method: &str, target: &str) -> Cow<'static, str> {
    let target = cut(target, MAX_NAME_BYTES);
    let mut text = String::with_capacity(method.len() + 1 + target.len());
    text.push_str(method);
    text.push(' ');
    text.push_str(target);
    Cow::Owned(text)
}

/// Methods the protocol knows are static text; others are the peer's, so they are kept short.
pub(crate) fn method_text(method: Box<str>) -> Cow<'static, str> {
    match names::known_method(&method) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(cut_text(method, MAX_METHOD_BYTES)),
    }
}

pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

fn cut_text(text: Box<str>, bytes: usize) -> String {
    let mut text = text.into_string();
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// Collects attributes; each method is one kind of value.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn put_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn put_text(&mut self, key: &'static str, text: Box<str>) {
        self.put(key, cut_text(text, MAX_TEXT_BYTES));
    }

    fn put_count(&mut self, key: &'static str, count: u64) {
        self.put(key, i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn put_peer(&mut self, name: &'static str, version: &'static str, peer: &Implementation) {
        self.put(name, Arc::clone(&peer.name));
        self.put(version, Arc::clone(&peer.version));
    }

    fn put_request(&mut self, method: Cow<'static, str>, target: Option<Target>, id: Box<str>) {
        if method == names::TOOLS_CALL {
            self.put(names::GEN_AI_OPERATION_NAME, names::EXECUTE_TOOL);
        }
        self.put(names::MCP_METHOD_NAME, method);
        match target {
            Some(Target::Tool(name)) => self.put_text(names::GEN_AI_TOOL_NAME, name),
            Some(Target::Prompt(name)) => self.put_text(names::GEN_AI_PROMPT_NAME, name),
            Some(Target::Resource(uri)) => self.put_text(names::MCP_RESOURCE_URI, uri),
            None => {}
        }
        if !id.is_empty() {
            self.put_text(names::JSONRPC_REQUEST_ID, id);
        }
    }

    fn put_network(&mut self, hop: &HopInfo, version: Option<&'static str>) {
        self.put(names::NETWORK_TRANSPORT, hop.network_transport);
        self.put_some(names::NETWORK_PROTOCOL_NAME, hop.network_protocol_name);
        self.put_some(names::NETWORK_PROTOCOL_VERSION, version);
    }

    fn put_server(&mut self, hop: &HopInfo) {
        self.put_some(names::SERVER_ADDRESS, hop.server_address.clone());
        self.put_some(names::SERVER_PORT, hop.server_port.map(i64::from));
    }

    fn put_client(&mut self, peer: SocketAddr) {
        self.put(names::CLIENT_ADDRESS, peer.ip().to_string());
        // One that a proxy named has no port.
        if peer.port() != 0 {
            self.put(names::CLIENT_PORT, i64::from(peer.port()));
        }
    }
}

fn attributes(
    record: CallRecord,
    method: Cow<'static, str>,
    error_type: Option<Cow<'static, str>>,
    side: Side,
) -> Vec<KeyValue> {
    let mut out = Attributes(Vec::with_capacity(EXPECTED_ATTRIBUTES));
    if side == record.side {
        out.put(names::CALL, true);
    }
    out.put(names::TENANT_ID, record.tenant.name);
    out.put(names::TENANT_SOURCE, record.tenant.source.as_str());
    out.put(names::PARENT_SOURCE, record.context.parent_source.as_str());
    out.put(names::OUTCOME, record.outcome.as_str());
    out.put_request(method, record.target, record.request_id);
    let code = record.outcome.rpc_status_code();
    out.put_some(
        names::RPC_RESPONSE_STATUS_CODE,
        code.map(|code| code.to_string()),
    );
    out.put_some(names::ERROR_TYPE, error_type);
    out.put_some(names::MCP_PROTOCOL_VERSION, record.protocol_version);
    let session = record.session.map(|session| format!("{session:016x}"));
    out.put_some(names::MCP_SESSION_ID, session);
    out.put_network(&record.hop, record.network_protocol_version);
    match (side, record.client_address) {
        // A request of the server goes the other way: the hop's address is not its receiver.
        (Side::Client, _) if record.side == record.hop.side => out.put_server(&record.hop),
        (Side::Server, Some(peer)) => out.put_client(peer),
        _ => {}
    }
    if let Some(peer) = &record.client {
        out.put_peer(names::CLIENT_NAME, names::CLIENT_VERSION, peer);
    }
    if let Some(peer) = &record.server {
        out.put_peer(names::SERVER_NAME, names::SERVER_VERSION, peer);
    }
    out.put_count(names::REQUEST_BYTES, record.request_bytes);
    out.put_count(names::RESPONSE_BYTES, record.response_bytes);
    let reason = record.not_injected.map(|reason| reason.as_str());
    out.put_some(names::NOT_INJECTED, reason);
    out.0
}

#[cfg(test)]
pub(crate) mod tests;
