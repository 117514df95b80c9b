//! Takes what ended a call. Gives the one closed word for it, with `error.type` and status by the newest rules.
//! Never guesses: a time-out is one only on explicit evidence.

use std::borrow::Cow;

use super::Side;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    /// A result with `isError: true`.
    ToolError,
    /// A JSON-RPC error response with its code.
    RpcError(i64),
    /// An HTTP status that is no success, without a JSON-RPC answer in its body.
    HttpError(u16),
    /// A result with `resultType: "input_required"`: the client will come again.
    InputRequired,
    /// A result that creates a task.
    TaskCreated,
    CancelledByClient,
    CancelledByServer,
    /// The client went away before the answer.
    ClientGone,
    /// The server went away, or ended its answer without a response.
    ServerGone,
    /// The server could not be reached.
    Unreachable,
    /// Somebody said so: HTTP status 504, the error code that SDKs have for it, or the reason of a cancel. With the code
    /// of the answer's JSON-RPC error, where it has one.
    TimedOut(Option<i64>),
    /// The server answered, and we could not read the answer: its encoding is neither gzip nor deflate, it is too long to
    /// be kept, or it comes where we do not look. Every other word would claim to know how the call ended: nothing says
    /// that the answer is malformed, or an error, or missing.
    Unread,
    /// An answer that is no JSON-RPC.
    Malformed,
    /// We had no room to wait for its answer: the table of open calls was full, or a client was cut off for which too much
    /// had to be kept.
    Evicted,
    /// We were stopped while the call was open.
    Shutdown,
}

/// JSON-RPC codes that are the caller's mistake: no error on a SERVER span.
/// Semantic conventions for MCP, "Recording errors".
const CALLER_ERRORS: [i64; 5] = [-32700, -32600, -32601, -32602, -32002];

impl Outcome {
    /// The value of the attribute `toolspan.outcome`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::RpcError(_) => "rpc_error",
            Self::HttpError(_) => "http_error",
            Self::InputRequired => "input_required",
            Self::TaskCreated => "task_created",
            Self::CancelledByClient => "cancelled_by_client",
            Self::CancelledByServer => "cancelled_by_server",
            Self::ClientGone => "client_gone",
            Self::ServerGone => "server_gone",
            Self::Unreachable => "unreachable",
            Self::TimedOut(_) => "timed_out",
            Self::Unread => "unread",
            Self::Malformed => "malformed",
            Self::Evicted => "evicted",
            Self::Shutdown => "shutdown",
        }
    }

    /// `error.type` of a span or point that stands for `side`; none when the operation did not fail.
    #[must_use]
    pub fn error_type(self, side: Side) -> Option<Cow<'static, str>> {
        match self {
            Self::Ok | Self::InputRequired | Self::TaskCreated | Self::Unread => None,
            Self::RpcError(code) if side == Side::Server && CALLER_ERRORS.contains(&code) => None,
            Self::RpcError(code) | Self::TimedOut(Some(code)) => Some(Cow::Owned(code.to_string())),
            Self::HttpError(status) => Some(Cow::Owned(status.to_string())),
            Self::CancelledByClient | Self::CancelledByServer => Some(Cow::Borrowed("cancelled")),
            other => Some(Cow::Borrowed(other.as_str())),
        }
    }

    /// `rpc.response.status_code`, whenever the response has a code.
    #[must_use]
    pub fn rpc_status_code(self) -> Option<i64> {
        match self {
            Self::RpcError(code) => Some(code),
            Self::TimedOut(code) => code,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_mistake_is_an_error_for_the_client_only() {
        for code in CALLER_ERRORS {
            assert_eq!(Outcome::RpcError(code).error_type(Side::Server), None);
            assert_eq!(
                Outcome::RpcError(code).error_type(Side::Client).as_deref(),
                Some(code.to_string().as_str())
            );
        }
        for code in [-32603, -32020, -32021, -32022, 7] {
            assert!(Outcome::RpcError(code).error_type(Side::Server).is_some());
        }
    }

    #[test]
    fn a_time_out_keeps_the_code_that_said_so() {
        for side in [Side::Server, Side::Client] {
            let error_type = |outcome: Outcome| outcome.error_type(side).map(Cow::into_owned);
            let coded = Outcome::TimedOut(Some(-32001));
            assert_eq!(error_type(coded).as_deref(), Some("-32001"));
            let said = Outcome::TimedOut(None);
            assert_eq!(error_type(said).as_deref(), Some("timed_out"));
        }
        assert_eq!(
            Outcome::TimedOut(Some(-32001)).rpc_status_code(),
            Some(-32001)
        );
        assert_eq!(Outcome::TimedOut(None).rpc_status_code(), None);
    }

    #[test]
    fn a_tool_error_is_an_error_on_both_sides_without_a_code() {
        for side in [Side::Server, Side::Client] {
            assert_eq!(
                Outcome::ToolError.error_type(side).as_deref(),
                Some("tool_error")
            );
        }
        assert_eq!(Outcome::ToolError.rpc_status_code(), None);
    }
}
