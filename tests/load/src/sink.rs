//! Takes OTLP exports, gRPC and HTTP on one port. Gives `GET /count`: what has come so far, as JSON.
//! Never keeps an export: the spans in it are counted and it is dropped.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::{otlp, report};

static EXPORTS: AtomicU64 = AtomicU64::new(0);
static SPANS: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

type Body = BoxBody<Bytes, Infallible>;

pub async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    report::print_address(listener.local_addr()?)?;
    report::end_with_stdin();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http2()
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(8 << 20);
            // An exporter may go away at any time; what it sent before that is counted.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service_fn(receive))
                .await;
        });
    }
}

async fn receive(request: Request<Incoming>) -> Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    if path == "/count" {
        return Ok(counted());
    }
    let grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let encoded = request.headers().contains_key("content-encoding");
    let body = request.into_body().collect().await?.to_bytes();
    if path.ends_with("/v1/traces") || path.ends_with("TraceService/Export") {
        match count(&body, grpc, encoded) {
            Ok(spans) => {
                SPANS.fetch_add(spans, Relaxed);
                EXPORTS.fetch_add(1, Relaxed);
            }
            Err(_) => {
                REFUSED.fetch_add(1, Relaxed);
                return Ok(refusal(grpc));
            }
        }
    }
    Ok(acceptance(grpc))
}

fn count(body: &[u8], grpc: bool, encoded: bool) -> Result<u64> {
    if !grpc {
        if encoded {
            bail!("a compressed export cannot be counted");
        }
        return otlp::count_spans(body);
    }
    let (prefix, message) = body.split_at_checked(5).context("no gRPC message")?;
    if prefix.first() != Some(&0) {
        bail!("a compressed export cannot be counted");
    }
    otlp::count_spans(message)
}

fn acceptance(grpc: bool) -> Response<Body> {
    if !grpc {
        return answer("application/x-protobuf", Bytes::new());
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let empty_message = Full::new(Bytes::from_static(&[0; 5]));
    let body = empty_message.with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn refusal(grpc: bool) -> Response<Body> {
    let mut response = answer("application/x-protobuf", Bytes::new());
    if grpc {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static("3"));
    } else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response
}

fn counted() -> Response<Body> {
    let text = format!(
        r#"{{"exports":{},"spans":{},"refused":{}}}"#,
        EXPORTS.load(Relaxed),
        SPANS.load(Relaxed),
        REFUSED.load(Relaxed)
    );
    answer("application/json", Bytes::from(text))
}

fn answer(kind: &'static str, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(text).boxed());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
