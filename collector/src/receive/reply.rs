//! Takes what became of an export.
//! Gives the answer that OTLP prescribes for it, over HTTP and over gRPC.
//! Never elsewhere: this is the only file that knows status codes, and which of them make a client send again.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use prost::Message;
use tonic::body::Body;
use tonic::{Code, Status};

use super::{Accepted, Refusal};
use crate::otlp::Signal;

/// What hyper sends.
pub type Answer = Response<Body>;

/// How long a client should wait before it sends again.
const RETRY_IN: Duration = Duration::from_secs(1);

/// How an HTTP refusal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Protobuf,
    Json,
    Text,
}

/// The codes of one refusal.
struct Codes {
    http: StatusCode,
    grpc: Code,
    retry: bool,
}

fn codes(refusal: &Refusal) -> Codes {
    let (http, grpc, retry) = match refusal {
        Refusal::Malformed(_) | Refusal::Cut(_) => {
            (StatusCode::BAD_REQUEST, Code::InvalidArgument, false)
        }
        Refusal::TooLarge { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::ResourceExhausted,
            false,
        ),
        Refusal::Full | Refusal::Busy => {
            (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, true)
        }
        Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, true),
        Refusal::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, false),
        Refusal::Media(_) => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::InvalidArgument,
            false,
        ),
        Refusal::Encoding(_) => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::Unimplemented,
            false,
        ),
        Refusal::NoSuchPath(_) => (StatusCode::NOT_FOUND, Code::Unimplemented, false),
        Refusal::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, false),
        Refusal::Unimplemented(_) => (StatusCode::NOT_IMPLEMENTED, Code::Unimplemented, false),
    };
    Codes { http, grpc, retry }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo` with the `google.protobuf.Duration` in it.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(uint64, tag = "1")]
    seconds: u64,
}

/// `ExportTracePartialSuccess` and `ExportMetricsPartialSuccess` have the same fields.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(uint64, tag = "1")]
    rejected: u64,
    #[prost(string, tag = "2")]
    reason: String,
}

/// The response message of both services.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

fn response_message(signal: Signal, accepted: &Accepted) -> ExportResponse {
    let item = match signal {
        Signal::Traces => "spans",
        Signal::Metrics => "data points",
    };
    let partial_success = (accepted.rejected > 0).then(|| PartialSuccess {
        rejected: accepted.rejected,
        reason: accepted
            .reason
            .clone()
            .unwrap_or_else(|| format!("some {item} cannot be stored")),
    });
    ExportResponse { partial_success }
}

/// 200 with the response message.
pub fn http_accepted(signal: Signal, accepted: &Accepted) -> Answer {
    let body = response_message(signal, accepted).encode_to_vec();
    http(StatusCode::OK, "application/x-protobuf", body.into())
}

/// The refusal's status with a `google.rpc.Status` that says what to do.
pub fn http_refused(form: Form, refusal: &Refusal) -> Answer {
    let codes = codes(refusal);
    let status = rpc_status(&codes, refusal);
    let (media, body) = match form {
        Form::Protobuf => ("application/x-protobuf", status.encode_to_vec().into()),
        Form::Json => {
            let json = serde_json::json!({ "code": status.code, "message": status.message });
            ("application/json", json.to_string().into())
        }
        Form::Text => ("text/plain; charset=utf-8", format!("{refusal}\n").into()),
    };
    let mut answer = http(codes.http, media, body);
    if codes.retry {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(RETRY_IN.as_secs()));
    }
    answer
}

/// 200 with plain text.
pub fn text(text: String) -> Answer {
    http(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        text.into(),
    )
}

fn http(status: StatusCode, media: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Body::new(Full::new(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

fn rpc_status(codes: &Codes, refusal: &Refusal) -> RpcStatus {
    let retry = RetryInfo {
        delay: Some(Delay {
            seconds: RETRY_IN.as_secs(),
        }),
    };
    let detail = Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
        value: retry.encode_to_vec(),
    };
    let details = if codes.retry {
        vec![detail]
    } else {
        Vec::new()
    };
    RpcStatus {
        code: i32::from(codes.grpc),
        message: refusal.to_string(),
        details,
    }
}

/// One message and the trailer that says OK.
pub fn grpc_accepted(signal: Signal, accepted: &Accepted) -> Answer {
    let message = response_message(signal, accepted);
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(length.saturating_add(5));
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut answer = Response::new(Body::new(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// The refusal's code, with `RetryInfo` where the client shall send again: OTLP repeats RESOURCE_EXHAUSTED only then.
pub fn grpc_refused(refusal: &Refusal) -> Answer {
    let codes = codes(refusal);
    let details = rpc_status(&codes, refusal).encode_to_vec();
    Status::with_details(codes.grpc, refusal.to_string(), details.into()).into_http()
}
