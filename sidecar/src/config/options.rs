//! Takes nothing. Gives the one list of options: key, meaning, default, environment variable, flag.
//! The file, the environment, the flags, `config print` and the messages about unknown keys all read it.
//! Never holds a value.

/// What an option may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Switch,
    /// Several texts; in a variable or a flag with commas between.
    List,
    /// A text that is never shown.
    Secret,
}

/// Where an option may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// At the top of the file.
    Process,
    /// At the top of the file, and in a `[[hop]]`, where it wins.
    Hop,
    /// In a `[[hop]]` only: what the flags of `toolspan http` describe.
    Listener,
}

#[derive(Debug)]
pub(crate) struct Opt {
    pub key: &'static str,
    pub kind: Kind,
    pub scope: Scope,
    /// As it would stand in the file; none where nothing is the default.
    pub default: Option<&'static str>,
    pub env: Option<&'static str>,
    pub flag: Option<&'static str>,
    pub doc: &'static str,
}

pub(crate) const MAX_INJECT_BYTES: &str = "4194304";

pub(crate) const OPTIONS: &[Opt] = &[
    Opt {
        key: "otlp_endpoint",
        kind: Kind::Text,
        scope: Scope::Process,
        default: None,
        env: Some("OTEL_EXPORTER_OTLP_ENDPOINT"),
        flag: Some("--otlp-endpoint"),
        doc: "The collector. Without one: http://127.0.0.1:4317, or http://127.0.0.1:4318 with http/protobuf.",
    },
    Opt {
        key: "otlp_protocol",
        kind: Kind::Text,
        scope: Scope::Process,
        default: Some("\"grpc\""),
        env: Some("OTEL_EXPORTER_OTLP_PROTOCOL"),
        flag: Some("--otlp-protocol"),
        doc: "How spans travel: \"grpc\" or \"http/protobuf\".",
    },
    Opt {
        key: "otlp_headers",
        kind: Kind::Secret,
        scope: Scope::Process,
        default: None,
        env: None,
        flag: None,
        doc: "Headers of every export, as \"name=value,name=value\". OTEL_EXPORTER_OTLP_HEADERS adds to them and wins.",
    },
    Opt {
        key: "service_name",
        kind: Kind::Text,
        scope: Scope::Hop,
        default: None,
        env: Some("OTEL_SERVICE_NAME"),
        flag: Some("--service-name"),
        doc: "service.name of the spans. Without one: the wrapped command's or the upstream's name.",
    },
    Opt {
        key: "tenant",
        kind: Kind::Text,
        scope: Scope::Hop,
        default: None,
        env: Some("TOOLSPAN_TENANT"),
        flag: Some("--tenant"),
        doc: "The tenant of every call: 1 to 128 bytes, printable.",
    },
    Opt {
        key: "tenant_from",
        kind: Kind::Text,
        scope: Scope::Hop,
        default: None,
        env: Some("TOOLSPAN_TENANT_FROM"),
        flag: Some("--tenant-from"),
        doc: "Where each call names its tenant: \"header:NAME\" or \"baggage:KEY\". What names none is \"unknown\".",
    },
    Opt {
        key: "side",
        kind: Kind::Text,
        scope: Scope::Hop,
        default: Some("\"server\""),
        env: Some("TOOLSPAN_SIDE"),
        flag: Some("--side"),
        doc: "The side a call's span stands for: \"server\" or \"client\".",
    },
    Opt {
        key: "span_pair",
        kind: Kind::Switch,
        scope: Scope::Hop,
        default: Some("false"),
        env: Some("TOOLSPAN_SPAN_PAIR"),
        flag: Some("--span-pair"),
        doc: "Emit a SERVER and a CLIENT span for each call; only that of `side` is marked toolspan.call.",
    },
    Opt {
        key: "resource_attributes",
        kind: Kind::Text,
        scope: Scope::Hop,
        default: None,
        env: None,
        flag: None,
        doc: "More attributes of the resource, as \"name=value,name=value\", over those of OTEL_RESOURCE_ATTRIBUTES.",
    },
    Opt {
        key: "inject",
        kind: Kind::Switch,
        scope: Scope::Hop,
        default: Some("true"),
        env: Some("TOOLSPAN_INJECT"),
        flag: None,
        doc: "Splice trace context into requests. Without it every byte passes as it came; calls are recorded all the same.",
    },
    Opt {
        key: "max_inject_bytes",
        kind: Kind::Integer,
        scope: Scope::Hop,
        default: Some(MAX_INJECT_BYTES),
        env: Some("TOOLSPAN_MAX_INJECT_BYTES"),
        flag: Some("--max-inject-bytes"),
        doc: "Largest request that gets trace context spliced in, the addition included. Larger ones stream through.",
    },
    Opt {
        key: "mcp_path",
        kind: Kind::Text,
        scope: Scope::Hop,
        default: Some("\"/mcp\""),
        env: Some("TOOLSPAN_MCP_PATH"),
        flag: Some("--mcp-path"),
        doc: "Where a hop with a `command` serves Streamable HTTP. HTTP+SSE is at /sse and /message.",
    },
    Opt {
        key: "allowed_hosts",
        kind: Kind::List,
        scope: Scope::Hop,
        default: None,
        env: Some("TOOLSPAN_ALLOWED_HOSTS"),
        flag: Some("--allowed-hosts"),
        doc: "Hosts that a hop with a `command` answers to, beside localhost and the address it listens on.",
    },
    Opt {
        key: "allowed_origins",
        kind: Kind::List,
        scope: Scope::Hop,
        default: None,
        env: Some("TOOLSPAN_ALLOWED_ORIGINS"),
        flag: Some("--allowed-origins"),
        doc: "Origins whose pages may use a hop with a `command`, beside those of its hosts: https://app.example.com.",
    },
    Opt {
        key: "max_sessions",
        kind: Kind::Integer,
        scope: Scope::Hop,
        default: Some("1000"),
        env: Some("TOOLSPAN_MAX_SESSIONS"),
        flag: None,
        doc: "How often a hop's `command` may run at a time: once for a session or credential. Beyond it: 503.",
    },
    Opt {
        key: "max_message_bytes",
        kind: Kind::Integer,
        scope: Scope::Hop,
        default: Some("67108865"),
        env: Some("TOOLSPAN_MAX_MESSAGE_BYTES"),
        flag: None,
        doc: "Largest message that passes between clients and a `command`, which are held whole.",
    },
    Opt {
        key: "max_replay_bytes",
        kind: Kind::Integer,
        scope: Scope::Hop,
        default: Some("1048576"),
        env: Some("TOOLSPAN_MAX_REPLAY_BYTES"),
        flag: None,
        doc: "What a session keeps for a client that comes back with Last-Event-ID, and what a slow client may leave unread.",
    },
    Opt {
        key: "log_file",
        kind: Kind::Text,
        scope: Scope::Process,
        default: None,
        env: Some("TOOLSPAN_LOG_FILE"),
        flag: Some("--log-file"),
        doc: "Append the log to this file instead of writing warnings to stderr.",
    },
    Opt {
        key: "log_format",
        kind: Kind::Text,
        scope: Scope::Process,
        default: Some("\"text\""),
        env: Some("TOOLSPAN_LOG_FORMAT"),
        flag: Some("--log-format"),
        doc: "\"text\" or \"json\".",
    },
    Opt {
        key: "log_level",
        kind: Kind::Text,
        scope: Scope::Process,
        default: None,
        env: Some("TOOLSPAN_LOG_LEVEL"),
        flag: Some("--log-level"),
        doc: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\". Without one: info, but for stdio without a log file: warn.",
    },
    Opt {
        key: "max_open_calls",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("10000"),
        env: Some("TOOLSPAN_MAX_OPEN_CALLS"),
        flag: None,
        doc: "Calls that may wait for their answer at a time. Beyond it the oldest is ended as evicted; it still gets its answer.",
    },
    Opt {
        key: "session_idle_seconds",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("3600"),
        env: Some("TOOLSPAN_SESSION_IDLE_SECONDS"),
        flag: None,
        doc: "A session without traffic or open streams for this long is over for our records; its calls end as client_gone, and a `command` that served it ends. 0: never.",
    },
    Opt {
        key: "connect_timeout_seconds",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("10"),
        env: Some("TOOLSPAN_CONNECT_TIMEOUT_SECONDS"),
        flag: None,
        doc: "How long an upstream may take to accept a connection.",
    },
    Opt {
        key: "queue_records",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("8192"),
        env: Some("TOOLSPAN_QUEUE_RECORDS"),
        flag: None,
        doc: "Calls that may wait for the collector. Beyond it they are dropped and counted.",
    },
    Opt {
        key: "queue_bytes",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("4194304"),
        env: Some("TOOLSPAN_QUEUE_BYTES"),
        flag: None,
        doc: "About how many bytes those calls may hold.",
    },
    Opt {
        key: "export_timeout_seconds",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("30"),
        env: None,
        flag: None,
        doc: "How long one export is tried, retries included. OTEL_EXPORTER_OTLP_TIMEOUT, in milliseconds, wins.",
    },
    Opt {
        key: "metrics_interval_seconds",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("10"),
        env: None,
        flag: None,
        doc: "From one export of the metrics to the next. OTEL_METRIC_EXPORT_INTERVAL, in milliseconds, wins.",
    },
    Opt {
        key: "allow_public",
        kind: Kind::Switch,
        scope: Scope::Process,
        default: Some("false"),
        env: Some("TOOLSPAN_ALLOW_PUBLIC"),
        flag: Some("--allow-public"),
        doc: "Allow hops and the admin listener to listen on addresses that other machines reach.",
    },
    Opt {
        key: "admin",
        kind: Kind::Text,
        scope: Scope::Process,
        default: None,
        env: Some("TOOLSPAN_ADMIN"),
        flag: Some("--admin"),
        doc: "IP:PORT of the admin listener of `toolspan http`: probes, metrics, open calls, switches.",
    },
    Opt {
        key: "drain_seconds",
        kind: Kind::Integer,
        scope: Scope::Process,
        default: Some("25"),
        env: Some("TOOLSPAN_DRAIN_SECONDS"),
        flag: None,
        doc: "How long open exchanges and streams may go on after the first SIGTERM, or when their hop is removed.",
    },
    Opt {
        key: "name",
        kind: Kind::Text,
        scope: Scope::Listener,
        default: None,
        env: None,
        flag: None,
        doc: "The hop's name in logs. Without one: the address it listens on.",
    },
    Opt {
        key: "listen",
        kind: Kind::Text,
        scope: Scope::Listener,
        default: None,
        env: Some("TOOLSPAN_LISTEN"),
        flag: Some("--listen"),
        doc: "IP:PORT to accept clients on; port 0 takes any free one.",
    },
    Opt {
        key: "upstream",
        kind: Kind::Text,
        scope: Scope::Listener,
        default: None,
        env: Some("TOOLSPAN_UPSTREAM"),
        flag: Some("--upstream"),
        doc: "The server behind the hop: http://HOST:PORT. A path behind it is put before the path the client asks for.",
    },
    Opt {
        key: "command",
        kind: Kind::List,
        scope: Scope::Listener,
        default: None,
        env: None,
        flag: Some("-- COMMAND ARG..."),
        doc: "Instead of an upstream: the command of a stdio server, which the hop serves over HTTP.",
    },
    Opt {
        key: "port_file",
        kind: Kind::Text,
        scope: Scope::Listener,
        default: None,
        env: Some("TOOLSPAN_PORT_FILE"),
        flag: Some("--port-file"),
        doc: "Write HOST:PORT to this file once the hop listens.",
    },
];

pub(crate) fn option(key: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.key == key)
}

impl Opt {
    pub(crate) fn at_top(&self) -> bool {
        self.scope != Scope::Listener
    }

    pub(crate) fn in_hop(&self) -> bool {
        self.scope != Scope::Process
    }
}
