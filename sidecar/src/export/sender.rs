//! Takes the bytes of an export. Gives them to the collector, over gRPC or HTTP, until it takes or refuses them.
//! One connection a service, made when it is needed; the standard variables for headers and compression count.
//! Never repeats what was refused for good, and never waits longer than the time-out of the export.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;
use tokio::time::{sleep, timeout_at};

use crate::clock;

use super::attempt;
use super::settings::{Protocol, Secret, SignalSettings};

mod answer;
mod backoff;
mod variables;

use answer::{Refusal, grpc_answer, http_answer};
use backoff::Backoff;

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const AGENT: &str = concat!("toolspan/", env!("CARGO_PKG_VERSION"));
/// An answer holds a count and a text.
const MAX_ANSWER: usize = 1024 * 1024;
/// A gRPC message starts with a flag and four bytes of length.
const PREFIX: usize = 5;

#[derive(Debug, Error)]
pub(super) enum SenderError {
    #[error("only http:// can be sent to, without TLS")]
    Scheme,
    #[error("is no URL: {0}")]
    Url(#[from] http::Error),
    #[error("{variable} must be gzip or none")]
    Compression { variable: &'static str },
}

pub(super) struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    signal: SignalSettings,
    gzip: bool,
}

impl Sender {
    pub(super) fn new(
        signal: &SignalSettings,
        given: &[(String, Secret)],
    ) -> Result<Self, SenderError> {
        let gzip = variables::gzip()?;
        let grpc = signal.protocol == Protocol::Grpc;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(grpc)
            .build(connector);
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.extend(variables::headers(given));
        let kind = match signal.protocol {
            Protocol::Grpc => "application/grpc",
            Protocol::HttpProtobuf => "application/x-protobuf",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        match (grpc, gzip) {
            (true, true) => drop(headers.insert("grpc-encoding", HeaderValue::from_static("gzip"))),
            (false, true) => {
                drop(headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip")));
            }
            (_, false) => {}
        }
        if grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        Ok(Self {
            client,
            uri: target(signal)?,
            headers,
            signal: signal.clone(),
            gzip,
        })
    }

    /// Ends when the collector has answered for good; gives how many spans it refused.
    pub(super) async fn send(&self, export: &[u8]) -> Result<u64, String> {
        let body = self.body(export).map_err(|error| error.to_string())?;
        let deadline = clock::instant() + self.signal.timeout;
        let mut backoff = Backoff::default();
        loop {
            let Ok(answer) = timeout_at(deadline.into(), self.try_once(body.clone())).await else {
                return Err("no answer in time".to_owned());
            };
            let refusal = match answer {
                Ok(rejected) => return Ok(rejected),
                Err(refusal) => refusal,
            };
            let pause = backoff.next(&refusal.again);
            let Some(pause) = pause.filter(|pause| left(deadline) > *pause) else {
                return Err(refusal.reason);
            };
            attempt::note_retry();
            sleep(pause).await;
        }
    }

    async fn try_once(&self, body: Bytes) -> Result<u64, Refusal> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let answer = self.client.request(request).await;
        let (head, body) = answer.map_err(|_| Refusal::unreachable())?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| Refusal::unreachable())?;
        match self.signal.protocol {
            Protocol::Grpc => {
                let trailers = body.trailers().cloned().unwrap_or_default();
                grpc_answer(&head, &trailers, &body.to_bytes())
            }
            Protocol::HttpProtobuf => http_answer(&head, &body.to_bytes()),
        }
    }

    /// The export as it stands in a request.
    fn body(&self, export: &[u8]) -> std::io::Result<Bytes> {
        let prefix = match self.signal.protocol {
            Protocol::Grpc => PREFIX,
            Protocol::HttpProtobuf => 0,
        };
        let mut body = Vec::with_capacity(prefix + export.len());
        body.resize(prefix, 0);
        if self.gzip {
            let mut encoder = GzEncoder::new(body, Compression::default());
            encoder.write_all(export)?;
            body = encoder.finish()?;
        } else {
            body.extend_from_slice(export);
        }
        let length = u32::try_from(body.len() - prefix).map_err(std::io::Error::other)?;
        if let Some([flag, size @ ..]) = body.get_mut(..prefix) {
            *flag = u8::from(self.gzip);
            size.copy_from_slice(&length.to_be_bytes());
        }
        Ok(body.into())
    }
}

fn left(deadline: Instant) -> std::time::Duration {
    deadline.saturating_duration_since(clock::instant())
}

/// gRPC has paths of its own; HTTP posts to the URL as it was given.
fn target(signal: &SignalSettings) -> Result<Uri, SenderError> {
    let given: Uri = signal.endpoint.parse().map_err(http::Error::from)?;
    let mut parts = given.into_parts();
    if parts.scheme.as_ref() != Some(&http::uri::Scheme::HTTP) {
        return Err(SenderError::Scheme);
    }
    if signal.protocol == Protocol::Grpc {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static(GRPC_PATH));
    }
    Ok(Uri::from_parts(parts).map_err(http::Error::from)?)
}

#[cfg(test)]
mod tests;
