//! Takes OTLP/HTTP requests: protobuf POSTed to `/v1/traces` and `/v1/metrics`.
//! Gives their bodies to the intake; serves the collector's own counters at `/metrics`.
//! Never keeps a body that no path would take.

use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request};

use bytes::Bytes;

use super::decompress::Encoding;
use super::reply::{self, Answer, Form};
use super::{Accepted, Intake, Limits, Received, Refusal, body};
use crate::otlp::Signal;

/// Serves one request.
pub async fn answer<I, B>(limits: Limits, intake: &I, request: Request<B>) -> Answer
where
    I: Intake,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if request.uri().path() == "/metrics" && request.method() == Method::GET {
        return reply::text(intake.metrics());
    }
    let form = form_of(request.headers());
    let signal = match route(request.uri().path(), request.method()) {
        Ok(signal) => signal,
        Err(refusal) => return refuse(intake, form, &refusal),
    };
    match take(limits, intake, signal, request).await {
        Ok(accepted) => reply::http_accepted(signal, &accepted),
        Err(refusal) => refuse(intake, form, &refusal),
    }
}

fn refuse<I: Intake>(intake: &I, form: Form, refusal: &Refusal) -> Answer {
    intake.refused(refusal);
    let mut answer = reply::http_refused(form, refusal);
    if let Refusal::Method { allow } = refusal {
        answer
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static(allow));
    }
    answer
}

fn route(path: &str, method: &Method) -> Result<Signal, Refusal> {
    let signal = match path {
        "/v1/traces" => Signal::Traces,
        "/v1/metrics" => Signal::Metrics,
        "/metrics" => return Err(Refusal::Method { allow: "GET" }),
        "/v1/logs" => {
            return Err(Refusal::NoSuchPath(
                "logs are not stored here: export traces and metrics only".into(),
            ));
        }
        _ => {
            return Err(Refusal::NoSuchPath(
                "nothing here: OTLP is POSTed to /v1/traces or /v1/metrics".into(),
            ));
        }
    };
    if method == Method::POST {
        Ok(signal)
    } else {
        Err(Refusal::Method { allow: "POST" })
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
    let (head, body) = request.into_parts();
    let named = head.headers.get(CONTENT_ENCODING);
    let readable = check_media(media_type(&head.headers))
        .and_then(|()| Encoding::named(named.map(|value| value.as_bytes())));
    let encoding = match readable {
        Ok(encoding) => encoding,
        Err(refusal) => {
            body::discard(body).await;
            return Err(refusal);
        }
    };
    let mut held = intake.memory().held();
    let body = body::read_body(body, limits, &mut held).await?;
    let body = body::decode(body, encoding, limits, &mut held).await?;
    intake.accept(Received { signal, body }).await
}

fn check_media(media: &str) -> Result<(), Refusal> {
    if media.eq_ignore_ascii_case("application/x-protobuf") {
        return Ok(());
    }
    let advice = if media.eq_ignore_ascii_case("application/json") {
        "OTLP as JSON is not taken here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf".to_owned()
    } else if media.starts_with("application/grpc") {
        "this port speaks OTLP over HTTP: send gRPC to the other port, 4317 by default".to_owned()
    } else {
        format!("Content-Type {media:?} is not application/x-protobuf")
    };
    Err(Refusal::Media(advice))
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// A refusal is written in the form that the request had, as OTLP asks.
fn form_of(headers: &HeaderMap) -> Form {
    if media_type(headers).eq_ignore_ascii_case("application/json") {
        Form::Json
    } else {
        Form::Protobuf
    }
}
