//! Takes a place in a message and a key. Gives what stands there: a field to keep, an object to look into, or nothing.
//! Never knows bytes: the scanner asks, this table answers.

use super::message::Slot;

/// The objects the scanner looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Node {
    /// Of no interest, with all it holds.
    #[default]
    Other,
    /// A message.
    Root,
    Params,
    Meta,
    /// `clientInfo` of `initialize` or of a request's `_meta`.
    ClientInfo,
    Result,
    ResultMeta,
    ServerInfo,
    Error,
}

/// The longest key in the table; a longer key cannot match.
pub(super) const MAX_KEY: usize = 48;

/// How many bytes of a value are kept.
pub(super) fn keep(slot: Slot) -> usize {
    match slot {
        Slot::Id
        | Slot::ParamsRequestId
        | Slot::MetaProgressToken
        | Slot::MetaSubscriptionId
        | Slot::ResultSubscriptionId
        | Slot::ParamsProgressToken => 256,
        Slot::Tracestate => 1024,
        Slot::Baggage => 8192,
        Slot::ParamsUri => 1024,
        _ => 128,
    }
}

/// What the value under `key` in an object at `node` is.
pub(super) fn child(node: Node, key: &[u8]) -> (Node, Option<Slot>) {
    use Node::{ClientInfo, Error, Meta, Other, Params, Result, ResultMeta, Root, ServerInfo};
    match (node, key) {
        (Root, b"id") => (Other, Some(Slot::Id)),
        (Root, b"method") => (Other, Some(Slot::Method)),
        (Root, b"params") => (Params, Some(Slot::Params)),
        (Root, b"result") => (Result, Some(Slot::Result)),
        (Root, b"error") => (Error, Some(Slot::Error)),
        (Params, b"_meta") => (Meta, Some(Slot::Meta)),
        (Params, b"name") => (Other, Some(Slot::ParamsName)),
        (Params, b"uri") => (Other, Some(Slot::ParamsUri)),
        (Params, b"protocolVersion") => (Other, Some(Slot::ParamsProtocolVersion)),
        (Params, b"requestId") => (Other, Some(Slot::ParamsRequestId)),
        (Params, b"reason") => (Other, Some(Slot::ParamsReason)),
        (Params, b"progressToken") => (Other, Some(Slot::ParamsProgressToken)),
        (Params, b"taskId") => (Other, Some(Slot::ParamsTaskId)),
        (Params, b"clientInfo") | (Meta, b"io.modelcontextprotocol/clientInfo") => {
            (ClientInfo, None)
        }
        (Meta, b"traceparent") => (Other, Some(Slot::Traceparent)),
        (Meta, b"tracestate") => (Other, Some(Slot::Tracestate)),
        (Meta, b"baggage") => (Other, Some(Slot::Baggage)),
        (Meta, b"io.modelcontextprotocol/protocolVersion") => {
            (Other, Some(Slot::MetaProtocolVersion))
        }
        (Meta, b"io.modelcontextprotocol/clientCapabilities") => {
            (Other, Some(Slot::MetaClientCapabilities))
        }
        (Meta, b"io.modelcontextprotocol/logLevel") => (Other, Some(Slot::MetaLogLevel)),
        (Meta, b"io.modelcontextprotocol/subscriptionId") => {
            (Other, Some(Slot::MetaSubscriptionId))
        }
        (Meta, b"progressToken") => (Other, Some(Slot::MetaProgressToken)),
        (ClientInfo, b"name") => (Other, Some(Slot::ClientName)),
        (ClientInfo, b"version") => (Other, Some(Slot::ClientVersion)),
        (Result, b"isError") => (Other, Some(Slot::IsError)),
        (Result, b"resultType") => (Other, Some(Slot::ResultType)),
        (Result, b"task") => (Other, Some(Slot::ResultTask)),
        (Result, b"protocolVersion") => (Other, Some(Slot::ResultProtocolVersion)),
        (Result, b"_meta") => (ResultMeta, None),
        (ResultMeta, b"io.modelcontextprotocol/subscriptionId") => {
            (Other, Some(Slot::ResultSubscriptionId))
        }
        (Result, b"serverInfo") | (ResultMeta, b"io.modelcontextprotocol/serverInfo") => {
            (ServerInfo, None)
        }
        (ServerInfo, b"name") => (Other, Some(Slot::ServerName)),
        (ServerInfo, b"version") => (Other, Some(Slot::ServerVersion)),
        (Error, b"code") => (Other, Some(Slot::ErrorCode)),
        _ => (Other, None),
    }
}

/// The fields below a field: when the field comes a second time they are forgotten, because the last one counts.
pub(super) fn below(slot: Slot) -> &'static [Slot] {
    match slot {
        Slot::Params => &[
            Slot::ParamsName,
            Slot::ParamsUri,
            Slot::ParamsProtocolVersion,
            Slot::ParamsRequestId,
            Slot::ParamsReason,
            Slot::ParamsProgressToken,
            Slot::ParamsTaskId,
            Slot::Meta,
            Slot::Traceparent,
            Slot::Tracestate,
            Slot::Baggage,
            Slot::MetaProtocolVersion,
            Slot::MetaClientCapabilities,
            Slot::MetaLogLevel,
            Slot::MetaProgressToken,
            Slot::MetaSubscriptionId,
            Slot::ClientName,
            Slot::ClientVersion,
        ],
        Slot::Meta => &[
            Slot::Traceparent,
            Slot::Tracestate,
            Slot::Baggage,
            Slot::MetaProtocolVersion,
            Slot::MetaClientCapabilities,
            Slot::MetaLogLevel,
            Slot::MetaProgressToken,
            Slot::MetaSubscriptionId,
        ],
        Slot::Result => &[
            Slot::IsError,
            Slot::ResultType,
            Slot::ResultTask,
            Slot::ResultProtocolVersion,
            Slot::ResultSubscriptionId,
            Slot::ServerName,
            Slot::ServerVersion,
        ],
        Slot::Error => &[Slot::ErrorCode],
        _ => &[],
    }
}
