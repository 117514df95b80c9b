//! Takes nothing. Gives every name this program puts on the wire: scope, attributes, metrics, methods.
//! Sources: the semantic conventions for MCP (Development, no release yet) and this project's own `toolspan.*`.
//! Never used for reading: the collector has a list of its own, because the contract between the two is OTLP.

use table::{Attribute, Instrument, Kind, Metric, On, Source};

pub mod table;

/// Instrumentation scope of all spans and metrics.
pub const SCOPE: &str = "toolspan";

/// A constant for each name, and `ATTRIBUTES`, which the README shows.
macro_rules! attributes {
    ($($constant:ident = $name:literal: $kind:ident, $source:ident, [$($on:ident),+], $when:literal;)*) => {
        $(pub const $constant: &str = $name;)*

        /// Every attribute of a span, a point or a resource.
        pub const ATTRIBUTES: &[Attribute] = &[$(Attribute {
            name: $constant,
            kind: Kind::$kind,
            source: Source::$source,
            on: &[$(On::$on),+],
            when: $when,
        }),*];
    };
}

attributes! {
    CALL = "toolspan.call": Bool, Ours, [Span], "true on one span of each call; not on the other of a pair";
    TENANT_ID = "tenant.id": Text, Ours, [Span, Operation, Session, Sum],
        "always; on sums where all hops have one tenant that is fixed";
    TENANT_SOURCE = "toolspan.tenant.source": Text, Ours, [Span], "always: where the tenant was found";
    PARENT_SOURCE = "toolspan.parent.source": Text, Ours, [Span], "always: where the parent was found";
    OUTCOME = "toolspan.outcome": Text, Ours, [Span, Operation], "always: how the call ended";
    GEN_AI_OPERATION_NAME = "gen_ai.operation.name": Text, Mcp, [Span, Operation],
        "`execute_tool`, on `tools/call` only";
    MCP_METHOD_NAME = "mcp.method.name": Text, Mcp, [Span, Operation],
        "always; `_OTHER` on metrics where the protocol does not know it";
    GEN_AI_TOOL_NAME = "gen_ai.tool.name": Text, Mcp, [Span, Operation], "on `tools/call`";
    GEN_AI_PROMPT_NAME = "gen_ai.prompt.name": Text, Mcp, [Span, Operation], "on `prompts/get`";
    MCP_RESOURCE_URI = "mcp.resource.uri": Text, Mcp, [Span], "where the request names a resource";
    JSONRPC_REQUEST_ID = "jsonrpc.request.id": Text, Core, [Span], "unless the id is an empty string";
    RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code": Text, Core, [Span, Operation],
        "the code of a JSON-RPC error";
    ERROR_TYPE = "error.type": Text, Core, [Span, Operation, Session],
        "where it failed; on the server's side not for what is the caller's mistake";
    MCP_PROTOCOL_VERSION = "mcp.protocol.version": Text, Mcp, [Span, Operation, Session],
        "once the peers have said it; `_OTHER` on metrics where it is no date";
    MCP_SESSION_ID = "mcp.session.id": Text, Mcp, [Span], "in a session with an id: a keyed hash, never the id";
    NETWORK_TRANSPORT = "network.transport": Text, Core, [Span, Operation, Session], "always: `pipe` or `tcp`";
    NETWORK_PROTOCOL_NAME = "network.protocol.name": Text, Core, [Span, Operation, Session],
        "but over pipes: `http` or `websocket`";
    NETWORK_PROTOCOL_VERSION = "network.protocol.version": Text, Core, [Span, Operation, Session],
        "over HTTP: the version that the client speaks";
    SERVER_ADDRESS = "server.address": Text, Core, [Span, Operation, Session],
        "on the client's side, where there is an upstream";
    SERVER_PORT = "server.port": Int, Core, [Span, Operation, Session], "with `server.address`";
    CLIENT_ADDRESS = "client.address": Text, Core, [Span], "on the server's side, over IP";
    CLIENT_PORT = "client.port": Int, Core, [Span], "with `client.address`, unless a proxy named it";
    CLIENT_NAME = "toolspan.client.name": Text, Ours, [Span], "once the client has said it";
    CLIENT_VERSION = "toolspan.client.version": Text, Ours, [Span], "with `toolspan.client.name`";
    SERVER_NAME = "toolspan.server.name": Text, Ours, [Span], "once the server has said it";
    SERVER_VERSION = "toolspan.server.version": Text, Ours, [Span], "with `toolspan.server.name`";
    REQUEST_BYTES = "toolspan.request.bytes": Int, Ours, [Span], "always: the message as the client sent it";
    RESPONSE_BYTES = "toolspan.response.bytes": Int, Ours, [Span], "always; 0 without an answer";
    NOT_INJECTED = "toolspan.not_injected": Text, Ours, [Span], "why the request went on without our context";
    OVERFLOW = "toolspan.overflow": Bool, Ours, [Operation, Session],
        "true for the tenants beyond the 200 that are kept apart";
    OTEL_METRIC_OVERFLOW = "otel.metric.overflow": Bool, Sdk, [Operation, Session],
        "true for what a tenant has beyond 500 points of a histogram";
    REASON = "reason": Text, Ours, [Sum], "where the metric has it";
    RESULT = "result": Text, Ours, [Sum], "where the metric has it: `ok` or `failed`";
    SERVICE_NAME = "service.name": Text, Core, [Resource],
        "always: `service_name`, else the command's or the upstream's name";
    SERVICE_INSTANCE_ID = "service.instance.id": Text, Core, [Resource],
        "always: random, unless `OTEL_RESOURCE_ATTRIBUTES` has one";
    TELEMETRY_SDK_LANGUAGE = "telemetry.sdk.language": Text, Sdk, [Resource], "always";
    TELEMETRY_SDK_NAME = "telemetry.sdk.name": Text, Sdk, [Resource], "always";
    TELEMETRY_SDK_VERSION = "telemetry.sdk.version": Text, Sdk, [Resource], "always";
}

/// A constant for each metric, and `METRICS`, which the README shows.
macro_rules! metrics {
    ($($constant:ident = $name:literal: $instrument:ident, $unit:literal, $source:ident, $label:expr, $what:literal;)*) => {
        $(pub const $constant: Metric = Metric {
            name: $name,
            instrument: Instrument::$instrument,
            unit: $unit,
            source: Source::$source,
            label: $label,
            description: $what,
        };)*

        /// Every metric that is exported or stands on the page of the admin listener.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    SERVER_OPERATION_DURATION = "mcp.server.operation.duration": Histogram, "s", Mcp, None,
        "From the receipt of a request to its answer, as the receiver sees it";
    CLIENT_OPERATION_DURATION = "mcp.client.operation.duration": Histogram, "s", Mcp, None,
        "From sending a request to its answer, as the sender sees it";
    SERVER_SESSION_DURATION = "mcp.server.session.duration": Histogram, "s", Mcp, None,
        "Duration of a session, as the server sees it";
    CLIENT_SESSION_DURATION = "mcp.client.session.duration": Histogram, "s", Mcp, None,
        "Duration of a session, as the client sees it";
    CALLS_SEEN = "toolspan.calls.seen": Sum, "{call}", Ours, None, "Requests seen";
    CALLS_EXPORTED = "toolspan.calls.exported": Sum, "{call}", Ours, None,
        "Calls whose span the collector acknowledged";
    CALLS_EVICTED = "toolspan.calls.evicted": Sum, "{call}", Ours, None,
        "Calls that were ended because there was no room to wait for their answer, because their id was used again, or because we cut their client or session off";
    CALLS_DROPPED = "toolspan.calls.dropped": Sum, "{call}", Ours, Some(REASON),
        "Calls whose span was not stored, by reason";
    INJECTION_SKIPPED = "toolspan.not_injected": Sum, "{request}", Ours, Some(REASON),
        "Requests that went on without our context, by reason";
    MESSAGES = "toolspan.messages": Sum, "{message}", Ours, None, "JSON-RPC messages read";
    MESSAGES_MALFORMED = "toolspan.messages.malformed": Sum, "{message}", Ours, None,
        "Lines, bodies and events that are no JSON-RPC";
    MESSAGES_UNDELIVERED = "toolspan.messages.undelivered": Sum, "{message}", Ours, None,
        "Messages of a command that no client was there for";
    MESSAGES_UNREADABLE = "toolspan.messages.unreadable": Sum, "{message}", Ours, None,
        "Request bodies in an encoding that is not read";
    ANSWERS_LATE = "toolspan.answers.late": Sum, "{answer}", Ours, None, "Answers to no open call";
    TENANT_UNKNOWN = "toolspan.tenant.unknown": Sum, "{call}", Ours, Some(REASON),
        "Calls without a tenant that can be believed, by reason";
    EXPORTS = "toolspan.exports": Sum, "{export}", Ours, Some(RESULT), "Exports of spans, by what became of them";
    RELOADS = "toolspan.reloads": Sum, "{reload}", Ours, Some(RESULT),
        "Configurations read again, by what became of them";
    CLIENTS_REFUSED = "toolspan.clients.refused": Sum, "{client}", Ours, Some(REASON),
        "Clients that were not served, by reason";
    CONNECTIONS_WAITED = "toolspan.connections.waited": Sum, "{wait}", Ours, None,
        "Times that accepting waited for room";
    CALLS_OPEN = "toolspan.calls.open": Level, "{call}", Ours, Some(HOP), "Calls that wait for their answer";
    CALLS_LONG = "toolspan.calls.long": Level, "{call}", Ours, Some(HOP),
        "Those that have waited for longer than `long_call_after_seconds`, listeners left out";
    OPEN_SESSIONS = "toolspan_open_sessions": Gauge, "{session}", Ours, Some(HOP), "Sessions that have not ended";
    OPEN_CONNECTIONS = "toolspan_open_connections": Gauge, "{connection}", Ours, Some(HOP), "Connections of clients";
    INJECTION_ON = "toolspan_injection_on": Gauge, "1", Ours, Some(HOP), "1 where requests get a context";
    TELEMETRY_ON = "toolspan_telemetry_on": Gauge, "1", Ours, Some(HOP), "1 where calls are recorded";
    QUEUE_RECORDS = "toolspan_queue_records": Gauge, "{call}", Ours, None, "Calls that wait for the collector";
    QUEUE_BYTES = "toolspan_queue_bytes": Gauge, "By", Ours, None, "About how many bytes those calls hold";
    READY = "toolspan_ready": Gauge, "1", Ours, None, "1 while clients are accepted, 0 while we drain";
    BUILD_INFO = "toolspan_build_info": Gauge, "1", Ours, Some("version"), "The version that runs";
    PROCESS_START = "process_start_time_seconds": Gauge, "s", Prometheus, None,
        "When we began, in seconds of the epoch";
    PROCESS_CPU = "process_cpu_seconds_total": Counter, "s", Prometheus, None, "Time of all cores";
    PROCESS_MEMORY = "process_resident_memory_bytes": Gauge, "By", Prometheus, None, "Memory in use";
    PROCESS_OPEN_FDS = "process_open_fds": Gauge, "{file}", Prometheus, None, "Open file descriptors";
    PROCESS_MAX_FDS = "process_max_fds": Gauge, "{file}", Prometheus, None, "File descriptors that may be open";
}

/// On the page of the admin listener: the name of the hop.
pub const HOP: &str = "hop";

/// The only value of `gen_ai.operation.name` here: set on `tools/call`, nowhere else.
pub const EXECUTE_TOOL: &str = "execute_tool";
/// The tenant of calls that name none, or none that is valid.
pub const UNKNOWN_TENANT: &str = "unknown";
/// The tenant of metrics beyond the number of tenants we keep apart.
pub const OVERFLOW_TENANT: &str = "overflow";
/// The value of an attribute of a metric that would have no bound otherwise.
pub const OTHER: &str = "_OTHER";

/// Bucket bounds of all four histograms.
pub const DURATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

pub const TOOLS_CALL: &str = "tools/call";
/// Open for as long as the client listens.
pub const SUBSCRIPTIONS_LISTEN: &str = "subscriptions/listen";

/// `METHODS`, and a look-up in it that needs no table and gives the static spelling.
macro_rules! methods {
    ($($method:literal,)*) => {
        /// Every method the protocol has or had.
        pub const METHODS: &[&str] = &[$($method),*];

        /// The static spelling of a method the protocol knows.
        #[must_use]
        pub fn known_method(method: &str) -> Option<&'static str> {
            match method {
                $($method => Some($method),)*
                _ => None,
            }
        }
    };
}

methods! {
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "tasks/update",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    "notifications/initialized",
    "notifications/roots/list_changed",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/message",
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/subscriptions/acknowledged",
    "notifications/elicitation/complete",
    "notifications/tasks/status",
    "notifications/tasks",
}
