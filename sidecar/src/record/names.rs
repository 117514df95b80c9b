//! Takes nothing. Gives every name this program puts on the wire: scope, attributes, metrics, methods.
//! Sources: the semantic conventions for MCP (Development, no release yet) and this project's own `toolspan.*`.
//! Never used for reading: the collector has a list of its own, because the contract between the two is OTLP.

/// Instrumentation scope of all spans and metrics.
pub const SCOPE: &str = "toolspan";

pub const SERVICE_NAME: &str = "service.name";
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";

// Attributes of the conventions.
pub const MCP_METHOD_NAME: &str = "mcp.method.name";
pub const MCP_RESOURCE_URI: &str = "mcp.resource.uri";
pub const MCP_PROTOCOL_VERSION: &str = "mcp.protocol.version";
pub const MCP_SESSION_ID: &str = "mcp.session.id";
pub const GEN_AI_TOOL_NAME: &str = "gen_ai.tool.name";
pub const GEN_AI_PROMPT_NAME: &str = "gen_ai.prompt.name";
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
pub const JSONRPC_REQUEST_ID: &str = "jsonrpc.request.id";
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
pub const ERROR_TYPE: &str = "error.type";
pub const NETWORK_TRANSPORT: &str = "network.transport";
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";
pub const CLIENT_ADDRESS: &str = "client.address";
pub const CLIENT_PORT: &str = "client.port";

/// The only value of `gen_ai.operation.name` here: set on `tools/call`, nowhere else.
pub const EXECUTE_TOOL: &str = "execute_tool";

// Attributes of this project.
pub const TENANT_ID: &str = "tenant.id";
pub const TENANT_SOURCE: &str = "toolspan.tenant.source";
pub const CALL: &str = "toolspan.call";
pub const PARENT_SOURCE: &str = "toolspan.parent.source";
pub const OUTCOME: &str = "toolspan.outcome";
pub const CLIENT_NAME: &str = "toolspan.client.name";
pub const CLIENT_VERSION: &str = "toolspan.client.version";
pub const SERVER_NAME: &str = "toolspan.server.name";
pub const SERVER_VERSION: &str = "toolspan.server.version";
pub const REQUEST_BYTES: &str = "toolspan.request.bytes";
pub const RESPONSE_BYTES: &str = "toolspan.response.bytes";
pub const NOT_INJECTED: &str = "toolspan.not_injected";
/// On metrics of tenants beyond the number we keep apart.
pub const OVERFLOW: &str = "toolspan.overflow";
/// On counters: why.
pub const REASON: &str = "reason";

/// The tenant of calls that name none, or none that is valid.
pub const UNKNOWN_TENANT: &str = "unknown";
/// The tenant of metrics beyond the number of tenants we keep apart.
pub const OVERFLOW_TENANT: &str = "overflow";
/// The value of an attribute of a metric that would have no bound otherwise.
pub const OTHER: &str = "_OTHER";

// Metrics of the conventions: histograms of seconds.
pub const SERVER_OPERATION_DURATION: &str = "mcp.server.operation.duration";
pub const CLIENT_OPERATION_DURATION: &str = "mcp.client.operation.duration";
pub const SERVER_SESSION_DURATION: &str = "mcp.server.session.duration";
pub const CLIENT_SESSION_DURATION: &str = "mcp.client.session.duration";
pub const SECONDS: &str = "s";
/// Bucket bounds of all four histograms.
pub const DURATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

// Metrics of this project: monotonic sums.
pub const CALLS_SEEN: &str = "toolspan.calls.seen";
pub const CALLS_EXPORTED: &str = "toolspan.calls.exported";
pub const CALLS_DROPPED: &str = "toolspan.calls.dropped";
pub const MESSAGES: &str = "toolspan.messages";
pub const MESSAGES_MALFORMED: &str = "toolspan.messages.malformed";
pub const MESSAGES_UNDELIVERED: &str = "toolspan.messages.undelivered";
pub const MESSAGES_UNREADABLE: &str = "toolspan.messages.unreadable";
pub const INJECTION_SKIPPED: &str = "toolspan.not_injected";
pub const TENANT_UNKNOWN: &str = "toolspan.tenant.unknown";
pub const ANSWERS_LATE: &str = "toolspan.answers.late";
pub const EXPORTS: &str = "toolspan.exports";
pub const CLIENTS_REFUSED: &str = "toolspan.clients.refused";
pub const CONNECTIONS_WAITED: &str = "toolspan.connections.waited";
pub const RELOADS: &str = "toolspan.reloads";
pub const RESULT: &str = "result";

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
