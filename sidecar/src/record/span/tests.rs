use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::*;
use crate::record::{HopInfo, Implementation, NotInjected, Outcome, Record, Tenant, TenantSource};

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

fn context(span_id: u64) -> TraceContext {
    TraceContext {
        trace_id: TRACE,
        span_id,
        flags: 1,
    }
}

pub(crate) fn hop(side: Side, span_pair: bool) -> HopInfo {
    HopInfo {
        side,
        span_pair,
        network_transport: "tcp",
        network_protocol_name: Some("http"),
        network_protocol_version: Some("1.1"),
        server_address: Some("localhost".into()),
        server_port: Some(3000),
        resource: Arc::default(),
    }
}

pub(crate) fn call(tenant: &str) -> Record {
    Box::new(CallRecord {
        hop: Arc::new(hop(Side::Server, false)),
        side: Side::Server,
        tenant: Tenant {
            name: tenant.into(),
            source: TenantSource::Fixed,
        },
        context: CallContext {
            context: context(0xb7ad_6b71_6920_3331),
            pair_span_id: None,
            parent: Some(context(0x00f0_67aa_0ba9_02b7)),
            parent_source: ParentSource::Meta,
            link: None,
            tracestate: "".into(),
        },
        method: "tools/call".into(),
        target: Some(Target::Tool("add".into())),
        request_id: "10".into(),
        protocol_version: Some("2025-06-18".into()),
        session: Some(0xabc),
        client: Some(Arc::new(Implementation {
            name: "mcp".into(),
            version: "2.3.0".into(),
        })),
        server: None,
        client_address: Some(([127, 0, 0, 1], 50_000).into()),
        network_protocol_version: Some("1.1"),
        started_at: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        duration: Duration::from_millis(25),
        outcome: Outcome::Ok,
        request_bytes: 120,
        response_bytes: 95,
        not_injected: None,
    })
}

/// The span as the SDK of OpenTelemetry holds it.
pub(crate) fn span_data(span: &Span<'_>) -> SpanData {
    let mut attributes = Vec::new();
    span.attributes(&mut |key, value| {
        attributes.push(match value {
            Value::Bool(value) => KeyValue::new(key, value),
            Value::Int(value) => KeyValue::new(key, value),
            Value::Text(value) => KeyValue::new(key, value.to_owned()),
        });
    });
    let mut links = SpanLinks::default();
    if let Some(link) = span.link() {
        let linked = span_context(link, TraceState::NONE);
        links.links.push(Link::with_context(linked));
    }
    let (method, target) = span.name();
    let (start_time, end_time) = span.times();
    SpanData {
        span_context: span_context(span.context(), span.trace_state().parse().unwrap()),
        parent_span_id: span
            .parent()
            .map_or(SpanId::INVALID, |parent| SpanId::from(parent.span_id)),
        parent_span_is_remote: span.parent_is_remote(),
        span_kind: match span.side() {
            Side::Server => SpanKind::Server,
            Side::Client => SpanKind::Client,
        },
        name: target
            .map_or(method.to_owned(), |target| format!("{method} {target}"))
            .into(),
        start_time,
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: match span.is_error() {
            true => Status::error(""),
            false => Status::Unset,
        },
        instrumentation_scope: InstrumentationScope::builder(names::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn span_context(place: TraceContext, state: TraceState) -> SpanContext {
    SpanContext::new(
        TraceId::from(place.trace_id),
        SpanId::from(place.span_id),
        TraceFlags::new(place.flags),
        false,
        state,
    )
}

fn spans(record: &CallRecord) -> Vec<SpanData> {
    record.spans().map(|span| span_data(&span)).collect()
}

fn only(record: impl Into<Record>) -> SpanData {
    let mut spans = spans(&record.into());
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    span.attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key)
        .map(|attribute| attribute.value.to_string())
}

/// One line an attribute, in the order they are written.
fn golden(span: &SpanData) -> String {
    span.attributes
        .iter()
        .map(|attribute| format!("{}={}\n", attribute.key, attribute.value))
        .collect()
}

#[test]
fn a_tool_call_seen_from_the_server() {
    let span = only(call("acme"));
    assert_eq!(span.name, "tools/call add");
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.status, Status::Unset);
    assert_eq!(span.span_context.trace_id(), TraceId::from(TRACE));
    assert_eq!(span.parent_span_id, SpanId::from(0x00f0_67aa_0ba9_02b7));
    assert!(span.parent_span_is_remote);
    assert!(span.span_context.trace_flags().is_sampled());
    assert_eq!(
        span.end_time.duration_since(span.start_time).unwrap(),
        Duration::from_millis(25)
    );
    assert_eq!(
        golden(&span),
        "toolspan.call=true
tenant.id=acme
toolspan.tenant.source=fixed
toolspan.parent.source=meta
toolspan.outcome=ok
gen_ai.operation.name=execute_tool
mcp.method.name=tools/call
gen_ai.tool.name=add
jsonrpc.request.id=10
mcp.protocol.version=2025-06-18
mcp.session.id=0000000000000abc
network.transport=tcp
network.protocol.name=http
network.protocol.version=1.1
client.address=127.0.0.1
client.port=50000
toolspan.client.name=mcp
toolspan.client.version=2.3.0
toolspan.request.bytes=120
toolspan.response.bytes=95
"
    );
}

#[test]
fn a_root_without_anything_optional() {
    let span = only(CallRecord {
        hop: Arc::new(HopInfo {
            network_transport: "pipe",
            network_protocol_name: None,
            network_protocol_version: None,
            ..hop(Side::Client, false)
        }),
        side: Side::Client,
        context: CallContext {
            parent: None,
            parent_source: ParentSource::Root,
            ..call("acme").context.clone()
        },
        method: "ping".into(),
        target: None,
        request_id: "".into(),
        protocol_version: None,
        session: None,
        client: None,
        network_protocol_version: None,
        outcome: Outcome::RpcError(-32601),
        not_injected: Some(NotInjected::TooLarge),
        ..*call("acme")
    });
    assert_eq!(span.name, "ping");
    assert_eq!(span.span_kind, SpanKind::Client);
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    assert!(!span.parent_span_is_remote);
    assert_eq!(span.status, Status::error(""));
    assert_eq!(
        golden(&span),
        "toolspan.call=true
tenant.id=acme
toolspan.tenant.source=fixed
toolspan.parent.source=root
toolspan.outcome=rpc_error
mcp.method.name=ping
rpc.response.status_code=-32601
error.type=-32601
network.transport=pipe
server.address=localhost
server.port=3000
toolspan.request.bytes=120
toolspan.response.bytes=95
toolspan.not_injected=too_large
"
    );
}

#[test]
fn a_callers_mistake_keeps_the_server_span_unset() {
    let span = only(CallRecord {
        outcome: Outcome::RpcError(-32602),
        ..*call("acme")
    });
    assert_eq!(span.status, Status::Unset);
    assert_eq!(attribute(&span, names::ERROR_TYPE), None);
    assert_eq!(
        attribute(&span, names::RPC_RESPONSE_STATUS_CODE).as_deref(),
        Some("-32602")
    );
}

#[test]
fn status_is_error_exactly_when_error_type_is_set() {
    for outcome in [
        Outcome::Ok,
        Outcome::ToolError,
        Outcome::RpcError(-32603),
        Outcome::HttpError(503),
        Outcome::InputRequired,
        Outcome::TaskCreated,
        Outcome::CancelledByClient,
        Outcome::ServerGone,
        Outcome::TimedOut(None),
        Outcome::Shutdown,
    ] {
        let span = only(CallRecord {
            outcome,
            ..*call("acme")
        });
        assert_eq!(
            attribute(&span, names::ERROR_TYPE).is_some(),
            matches!(span.status, Status::Error { .. }),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_pair_is_two_spans_with_one_mark() {
    for side in [Side::Server, Side::Client] {
        let mut record = call("acme");
        record.hop = Arc::new(hop(side, true));
        record.side = side;
        record.context.pair_span_id = Some(7);
        record.context.link = Some(context(9));
        record.outcome = Outcome::RpcError(-32602);
        let spans = spans(&record);
        let [server, client] = spans.as_slice() else {
            panic!("a pair is two spans, here are {}", spans.len());
        };
        assert_eq!(server.span_kind, SpanKind::Server);
        assert_eq!(client.span_kind, SpanKind::Client);
        assert_eq!(client.parent_span_id, server.span_context.span_id());
        assert_eq!(client.span_context.span_id(), SpanId::from(7));
        assert!(server.parent_span_is_remote && !client.parent_span_is_remote);
        assert_eq!((server.links.len(), client.links.len()), (1, 0));
        assert_eq!(
            attribute(server, names::CALL).is_some(),
            side == Side::Server
        );
        assert_eq!(
            attribute(client, names::CALL).is_some(),
            side == Side::Client
        );
        // The same answer is no error of the server and one of the client.
        assert_eq!(server.status, Status::Unset);
        assert_eq!(client.status, Status::error(""));
        assert!(attribute(server, names::SERVER_ADDRESS).is_none());
        assert!(attribute(client, names::CLIENT_ADDRESS).is_none());
    }
}

#[test]
fn a_request_of_the_server_does_not_name_the_server_as_its_receiver() {
    let mut record = call("acme");
    record.side = Side::Client;
    record.context.parent_source = ParentSource::Call;
    let span = only(record);
    assert_eq!(attribute(&span, names::SERVER_ADDRESS), None);
    assert!(!span.parent_span_is_remote);
    assert!(attribute(&span, names::CALL).is_some());
}

#[test]
fn tracestate_and_link_are_kept_and_a_bad_tracestate_is_not() {
    let mut record = call("acme");
    record.context.tracestate = "vendor=1,other=2".into();
    record.context.link = Some(context(9));
    let span = only(record);
    assert_eq!(span.span_context.trace_state().header(), "vendor=1,other=2");
    assert_eq!(span.links[0].span_context.span_id(), SpanId::from(9));
    let mut record = call("acme");
    record.context.tracestate = "no pair".into();
    assert_eq!(only(record).span_context.trace_state().header(), "");
}

#[test]
fn texts_of_peers_are_cut_at_a_character() {
    let mut record = call("acme");
    record.method = "ü".repeat(100).into();
    record.target = Some(Target::Tool("é".repeat(5000).into()));
    let span = only(record);
    assert_eq!(
        attribute(&span, names::MCP_METHOD_NAME),
        Some("ü".repeat(64))
    );
    assert_eq!(
        attribute(&span, names::GEN_AI_TOOL_NAME),
        Some("é".repeat(2048))
    );
    assert_eq!(span.name, format!("{} {}", "ü".repeat(64), "é".repeat(128)));
}

#[test]
fn a_resource_is_an_attribute_and_never_a_name() {
    let mut record = call("acme");
    record.method = "resources/read".into();
    record.target = Some(Target::Resource("file:///a".into()));
    let span = only(record);
    assert_eq!(span.name, "resources/read");
    assert_eq!(
        attribute(&span, names::MCP_RESOURCE_URI).as_deref(),
        Some("file:///a")
    );
    assert_eq!(attribute(&span, names::GEN_AI_OPERATION_NAME), None);
}

#[test]
fn an_address_is_written_as_the_library_does() {
    for address in [
        "0.0.0.0",
        "127.0.0.1",
        "10.20.100.9",
        "255.255.255.255",
        "::1",
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(address_text(address), address.to_string());
    }
}
