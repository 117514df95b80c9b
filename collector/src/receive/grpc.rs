//! Takes OTLP/gRPC calls of `TraceService/Export` and `MetricsService/Export`.
//! Gives the bytes of their one message to the intake, without copying what came in one piece.
//! Never builds a message object.
//!
//! The framing is done here and not by tonic, because tonic answers OUT_OF_RANGE to a message above the limit, which
//! OTLP clients repeat for ever, and INTERNAL to a body that cannot be decompressed.

use bytes::{Buf, Bytes};
use hyper::Request;
use hyper::body::Body;
use hyper::header::CONTENT_TYPE;

use super::decompress::Encoding;
use super::reply::{self, Answer};
use super::{Accepted, Intake, Limits, Received, Refusal, body};
use crate::otlp::Signal;

const PREFIX: u64 = 5;

/// Serves one call.
pub async fn answer<I, B>(limits: Limits, intake: &I, request: Request<B>) -> Answer
where
    I: Intake,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let media = request
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    if !media.starts_with(b"application/grpc") {
        let advice =
            "this port speaks gRPC: send OTLP over HTTP to the other port, 4318 by default";
        let refusal = Refusal::Media(advice.into());
        intake.refused(&refusal);
        return reply::http_refused(reply::Form::Text, &refusal);
    }
    let signal = match route(request.uri().path()) {
        Ok(signal) => signal,
        Err(refusal) => return refuse(intake, &refusal),
    };
    match take(limits, intake, signal, request).await {
        Ok(accepted) => reply::grpc_accepted(signal, &accepted),
        Err(refusal) => refuse(intake, &refusal),
    }
}

fn refuse<I: Intake>(intake: &I, refusal: &Refusal) -> Answer {
    intake.refused(refusal);
    reply::grpc_refused(refusal)
}

fn route(path: &str) -> Result<Signal, Refusal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Ok(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Ok(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Err(Refusal::Unimplemented(
            "logs are not stored here: export traces and metrics only".into(),
        )),
        other => Err(Refusal::Unimplemented(format!("no method {other}"))),
    }
}

async fn take<I, B>(
    limits: Limits,
    intake: &I,
    signal: Signal,
    request: Request<B>,
) -> Result<Accepted, Refusal>
where
    I: Intake,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let header = request
        .headers()
        .get("grpc-encoding")
        .map(|value| value.as_bytes());
    let encoding =
        Encoding::named(header).map_err(|refusal| Refusal::Unimplemented(refusal.to_string()))?;
    let framed = Limits {
        max_export_bytes: limits.max_export_bytes.saturating_add(PREFIX),
        ..limits
    };
    let mut held = intake.memory().held();
    let body = body::read_body(request.into_body(), framed, &mut held)
        .await
        .map_err(|refusal| match refusal {
            Refusal::TooLarge { .. } => Refusal::TooLarge {
                limit: limits.max_export_bytes,
            },
            other => other,
        })?;
    let (message, compressed) = unframe(body)?;
    let encoding = if compressed {
        encoding
    } else {
        Encoding::Identity
    };
    let body = body::decode(message, encoding, limits, &mut held).await?;
    intake.accept(Received { signal, body }).await
}

/// The one message of a unary call: a flag, a length, and as many bytes.
fn unframe(mut body: Bytes) -> Result<(Bytes, bool), Refusal> {
    let broken = |what: String| Refusal::Malformed(format!("gRPC message: {what}"));
    let available = body.len();
    let (Ok(flag), Ok(length)) = (body.try_get_u8(), body.try_get_u32()) else {
        return Err(broken(format!("{available} bytes, want a prefix of 5")));
    };
    if flag > 1 {
        return Err(broken(format!("compression flag {flag}, want 0 or 1")));
    }
    if body.len() as u64 != u64::from(length) {
        return Err(broken(format!(
            "{} bytes follow a prefix that says {length}",
            body.len()
        )));
    }
    Ok((body, flag == 1))
}
