//! Takes the end of a call: who called what, how it ended, which trace it belongs to.
//! Gives spans and metric points under the names of the OpenTelemetry conventions.
//! Never reads a clock, a socket or the payload of a message.

pub mod names;
pub mod outcome;
pub mod span;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use outcome::Outcome;

/// The side a span stands for: the peer that answers a request, or the one that sends it.
///
/// Roles follow the initiator of each message, so a request of the server to the client
/// is recorded with the sides swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Server,
    Client,
}

impl Side {
    #[must_use]
    pub fn swapped(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}

/// Where the parent of a call's span was found; the value of `toolspan.parent.source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParentSource {
    /// `params._meta.traceparent`
    Meta,
    /// the HTTP header `traceparent`
    Header,
    /// the environment variable `TRACEPARENT` (stdio only)
    Env,
    /// the call that caused this one (a request of the server inside a call of the client)
    Call,
    /// nowhere: the span is a root
    Root,
}

impl ParentSource {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Header => "header",
            Self::Env => "env",
            Self::Call => "call",
            Self::Root => "root",
        }
    }
}

/// A W3C trace context without its `tracestate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: u128,
    pub span_id: u64,
    pub flags: u8,
}

/// The place of one call in its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallContext {
    /// The context of the call's span: with one span a call this is what was injected.
    pub context: TraceContext,
    /// With `--span-pair`: the id of the CLIENT span below the SERVER span; it was injected instead.
    pub pair_span_id: Option<u64>,
    pub parent: Option<TraceContext>,
    pub parent_source: ParentSource,
    /// The HTTP `traceparent`, where it differs from the parent taken from `_meta`.
    pub link: Option<TraceContext>,
    /// `tracestate` of the carrier the parent came from.
    pub tracestate: Box<str>,
}

/// How the tenant of a call was found; the value of `toolspan.tenant.source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TenantSource {
    Fixed,
    Header,
    /// a name in the client's certificate
    Certificate,
    /// a claim of a verified JWT
    Jwt,
    /// a bearer token whose hash is known
    Token,
    /// the namespace or a label of our pod
    Kubernetes,
    Baggage,
    /// nothing said, or what was said cannot be believed or is no valid name
    None,
}

impl TenantSource {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Header => "header",
            Self::Certificate => "certificate",
            Self::Jwt => "jwt",
            Self::Token => "token",
            Self::Kubernetes => "kubernetes",
            Self::Baggage => "baggage",
            Self::None => "none",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub name: Arc<str>,
    pub source: TenantSource,
}

/// What a request is about, where its method has a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Tool(Box<str>),
    Prompt(Box<str>),
    /// High in cardinality: an attribute, never part of a span's name.
    Resource(Box<str>),
}

/// Name and version a peer gives for itself. Display only, by the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implementation {
    pub name: Arc<str>,
    pub version: Arc<str>,
}

/// Why a request went on without our context in `params._meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotInjected {
    TooLarge,
    ContentEncoding,
    ContentDigest,
    SignatureInput,
    ParamsNotObject,
    MetaNotObject,
    /// A request of the server inside a response stream, which is never touched.
    InResponse,
    /// An operator switched injection off, or the hop is set not to inject.
    SwitchedOff,
}

impl NotInjected {
    pub const ALL: [Self; 8] = [
        Self::TooLarge,
        Self::ContentEncoding,
        Self::ContentDigest,
        Self::SignatureInput,
        Self::ParamsNotObject,
        Self::MetaNotObject,
        Self::InResponse,
        Self::SwitchedOff,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::ContentEncoding => "content_encoding",
            Self::ContentDigest => "content_digest",
            Self::SignatureInput => "signature_input",
            Self::ParamsNotObject => "params_not_object",
            Self::MetaNotObject => "meta_not_object",
            Self::InResponse => "in_response",
            Self::SwitchedOff => "switched_off",
        }
    }
}

/// What is the same for every call of one hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopInfo {
    pub side: Side,
    pub span_pair: bool,
    /// `pipe` or `tcp`
    pub network_transport: &'static str,
    /// `http` where there is one
    pub network_protocol_name: Option<&'static str>,
    /// Where an exchange does not say its own.
    pub network_protocol_version: Option<&'static str>,
    /// The server behind the hop; reported on CLIENT spans and metrics.
    pub server_address: Option<Arc<str>>,
    pub server_port: Option<u16>,
    /// What the hop says of itself where it differs from the process.
    pub resource: Arc<HopResource>,
}

/// Names and values.
pub type Attributes = Box<[(Box<str>, Box<str>)]>;

/// The resource of one hop's spans, as far as it is not that of the process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct HopResource {
    pub service_name: Option<Arc<str>>,
    /// Over those of `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Attributes,
}

/// One finished call: a request and its end. Everything a span and a metric point need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    pub hop: Arc<HopInfo>,
    /// The side of the marked span; `hop.side`, swapped for requests of the server.
    pub side: Side,
    pub tenant: Tenant,
    pub context: CallContext,
    pub method: Box<str>,
    pub target: Option<Target>,
    /// The JSON-RPC id as text, without the quotes of a string.
    pub request_id: Box<str>,
    pub protocol_version: Option<Arc<str>>,
    /// A keyed hash of the session id: the id itself is a credential and is never recorded.
    pub session: Option<u64>,
    pub client: Option<Arc<Implementation>>,
    pub server: Option<Arc<Implementation>>,
    /// Address and port of the peer that sent the request (HTTP only).
    pub client_address: Option<std::net::SocketAddr>,
    /// The version of HTTP that the client of this exchange speaks.
    pub network_protocol_version: Option<&'static str>,
    pub started_at: SystemTime,
    pub duration: Duration,
    pub outcome: Outcome,
    /// Bytes of the request's message as the client sent it, and of the answer's message.
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub not_injected: Option<NotInjected>,
}

/// A record on its way: it changes hands a dozen times, which should move a pointer.
pub type Record = Box<CallRecord>;

/// One ended session (legacy era only: the newest protocol has none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    pub hop: Arc<HopInfo>,
    pub tenant: Tenant,
    pub protocol_version: Option<Arc<str>>,
    /// The version of HTTP that its client spoke as it began.
    pub network_protocol_version: Option<&'static str>,
    pub duration: Duration,
    /// Set when the session ended with an error.
    pub error_type: Option<&'static str>,
}
